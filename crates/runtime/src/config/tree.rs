//! The pipeline file as a tree that remembers where everything stands.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span};

use super::mistake::{Mistake, Position};
use super::scalar::{Lookup, Scalar, Variable, interpolate};
use crate::topology::Print;

/// A value, and where it stands.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) position: Position,
    pub(crate) value: Value,
    /// How many values it holds with all aliases followed.
    size: usize,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Arc<Node>>),
    Table(Vec<Entry>),
    /// Already reported; nothing more is said about it.
    Broken,
}

/// A part of what a node holds.
#[derive(Hash)]
enum Piece<'n> {
    /// A scalar, and whether it stands without quotes.
    Text(&'n str, bool),
    List(usize),
    Table(usize),
}

/// One key of a table. Keys are unique.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) position: Position,
    pub(crate) node: Arc<Node>,
}

/// Aliases of aliases can grow without bound; no honest pipeline file comes near this.
const MAX_SIZE: usize = 1_000_000;

impl Node {
    /// A node without content at a place.
    pub(crate) fn new(position: Position, value: Value) -> Self {
        let size = match &value {
            Value::Scalar(_) | Value::Broken => 1,
            Value::List(items) => total(items.iter()),
            Value::Table(entries) => total(entries.iter().map(|entry| &entry.node)),
        };
        Self {
            position,
            value,
            size,
        }
    }

    /// The same places without any value, to be kept without keeping secrets.
    pub(crate) fn skeleton(&self) -> Self {
        let value = match &self.value {
            Value::Scalar(_) | Value::Broken => Value::Broken,
            Value::List(items) => {
                let bare = items.iter().map(|item| Arc::new(item.skeleton()));
                Value::List(bare.collect())
            }
            Value::Table(entries) => {
                let bare = entries.iter().map(|entry| Entry {
                    key: entry.key.clone(),
                    position: entry.position,
                    node: Arc::new(entry.node.skeleton()),
                });
                Value::Table(bare.collect())
            }
        };
        Self::new(self.position, value)
    }

    /// Says whether another node holds the same, wherever it stands; keys `but` do not count.
    pub(crate) fn print(&self, but: &[&str]) -> Print {
        let mut all = Vec::new();
        self.collect(but, &mut all);
        Print::of(&all)
    }

    /// The print of what stands under a key.
    pub(crate) fn print_of(&self, key: &str) -> Print {
        let entry = self.entry(key);
        entry.map_or_else(Print::default, |entry| entry.node.print(&[]))
    }

    /// Everything in it in order, with where it begins and ends.
    fn collect<'n>(&'n self, but: &[&str], all: &mut Vec<Piece<'n>>) {
        match &self.value {
            Value::Scalar(scalar) => all.push(Piece::Text(&scalar.text, scalar.plain)),
            Value::Broken => {}
            Value::List(items) => {
                all.push(Piece::List(items.len()));
                for item in items {
                    item.collect(&[], all);
                }
            }
            Value::Table(entries) => {
                // The order of keys means nothing.
                let mut entries: Vec<&Entry> = entries
                    .iter()
                    .filter(|entry| !but.contains(&&*entry.key))
                    .collect();
                entries.sort_by_key(|entry| &entry.key);
                all.push(Piece::Table(entries.len()));
                for entry in entries {
                    all.push(Piece::Text(&entry.key, true));
                    entry.node.collect(&[], all);
                }
            }
        }
    }

    /// The entries, if it is a table.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The entry under a key.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Where the setting at a path such as `hubs[1].name` stands, or the nearest thing around it.
    pub(crate) fn find(&self, path: &str) -> Position {
        let (mut node, mut position, mut rest) = (self, self.position, path);
        while let Some((next, at, below)) = node.step(rest) {
            (node, position, rest) = (next, at, below);
        }
        position
    }

    /// The node that a path leads to first, its place, and the rest of the path.
    fn step<'n, 'p>(&'n self, path: &'p str) -> Option<(&'n Node, Position, &'p str)> {
        let path = path.strip_prefix('.').unwrap_or(path);
        if let Value::List(items) = &self.value {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            let item = items.get(index.parse::<usize>().ok()?)?;
            return Some((item, item.position, rest));
        }
        // Keys may hold dots themselves, as those of librdkafka do: the longest that fits is meant.
        let fitting = self.entries().iter().filter_map(|entry| {
            let rest = path.strip_prefix(entry.key.as_str())?;
            let fits = rest.is_empty() || rest.starts_with(['.', '[']);
            fits.then_some((entry, rest))
        });
        let (entry, rest) = fitting.max_by_key(|(entry, _)| entry.key.len())?;
        Some((&entry.node, entry.position, rest))
    }

    /// Every environment variable used in it, by name and value.
    pub(crate) fn variables(&self) -> Vec<Variable> {
        match &self.value {
            Value::Scalar(scalar) => scalar.variables.clone(),
            Value::List(items) => items.iter().flat_map(|item| item.variables()).collect(),
            Value::Table(entries) => entries.iter().flat_map(|e| e.node.variables()).collect(),
            Value::Broken => Vec::new(),
        }
    }
}

fn total<'a>(nodes: impl Iterator<Item = &'a Arc<Node>>) -> usize {
    nodes.fold(1, |sum: usize, node| sum.saturating_add(node.size))
}

/// Reads YAML into a tree.
///
/// # Errors
/// What keeps the text from being one YAML document. Mistakes that do not are added to `mistakes`.
pub(crate) fn read(
    text: &str,
    lookup: Lookup<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Result<Arc<Node>, Mistake> {
    let mut composer = Composer {
        text,
        parser: Parser::new_from_str_with_options(text, options()),
        anchors: HashMap::new(),
        lookup,
        path: Vec::new(),
        mistakes,
    };
    let root = composer.document()?;
    if root.size > MAX_SIZE {
        let message = format!("aliases make more than {MAX_SIZE} values of this file");
        return Err(Mistake::at(root.position, "", message));
    }
    Ok(root)
}

fn options() -> Options {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options
}

struct Composer<'a, 'm> {
    text: &'a str,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, Arc<Node>>,
    lookup: Lookup<'m>,
    /// Keys and indices that lead to where the composer stands.
    path: Vec<String>,
    mistakes: &'m mut Vec<Mistake>,
}

impl<'a> Composer<'a, '_> {
    fn document(&mut self) -> Result<Arc<Node>, Mistake> {
        let empty = || Mistake::of_file("the file is empty; a pipeline has sources and sinks");
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Err(empty()),
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (event, span) => {
                    let root = self.node(event, span)?;
                    self.end()?;
                    return match root.value {
                        Value::Scalar(ref s) if s.plain && s.text == "~" => Err(empty()),
                        _ => Ok(root),
                    };
                }
            }
        }
    }

    /// Only one document stands in a file.
    fn end(&mut self) -> Result<(), Mistake> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentStart(..), span) => {
                    let message = "a second document begins here; a pipeline file holds one";
                    return Err(Mistake::at(position(&span), "", message));
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Mistake> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let at = error.marker();
                let position = Position {
                    line: at.line(),
                    column: at.col() + 1,
                };
                let mut message = format!("not YAML: {}", error.info());
                let line = self.text.lines().nth(at.line().saturating_sub(1));
                if line.is_some_and(|line| line.contains("${")) {
                    message.push_str("; inside { } or [ ] write \"${NAME}\" with quotes");
                }
                Err(Mistake::at(position, "", message))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Arc<Node>, Mistake> {
        let at = position(&span);
        if let Some(tag) = event.tag().filter(|tag| !tag.is_yaml_core_schema()) {
            let message = format!("the tag {tag} has no meaning here");
            self.report(at, message);
        }
        let anchor = event.anchor_id();
        let value = match event {
            Event::Alias(id) => match self.anchors.get(&id) {
                Some(node) => return Ok(Arc::clone(node)),
                None => {
                    return Err(Mistake::at(
                        at,
                        "",
                        "an alias cannot stand inside its anchor",
                    ));
                }
            },
            Event::Scalar(text, style, ..) => self.scalar(&text, style, at),
            Event::SequenceStart(..) => self.list()?,
            Event::MappingStart(..) => self.table()?,
            _ => return Err(Mistake::at(at, "", "not YAML: a value is missing")),
        };
        let node = Arc::new(Node::new(at, value));
        if let Some(id) = anchor {
            self.anchors.insert(id, Arc::clone(&node));
        }
        Ok(node)
    }

    /// The node one step further down.
    fn inside(&mut self, step: String, event: Event<'a>, span: Span) -> Result<Arc<Node>, Mistake> {
        self.path.push(step);
        let node = self.node(event, span);
        self.path.pop();
        node
    }

    fn report(&mut self, at: Position, message: impl Into<String>) {
        let path = self.path.join(".").replace(".[", "[");
        self.mistakes.push(Mistake::at(at, path, message));
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, at: Position) -> Value {
        match interpolate(text, self.lookup) {
            Ok((text, variables)) => Value::Scalar(Scalar {
                text,
                plain: style == ScalarStyle::Plain,
                variables,
            }),
            Err(missing) => {
                for name in missing {
                    self.report(at, format!("environment variable {name} is not set"));
                }
                Value::Broken
            }
        }
    }

    fn list(&mut self) -> Result<Value, Mistake> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => {
                    let item = self.inside(format!("[{}]", items.len()), event, span)?;
                    items.push(item);
                }
            }
        }
    }

    fn table(&mut self) -> Result<Value, Mistake> {
        let (mut entries, mut merged) = (Vec::<Entry>::new(), Vec::new());
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let at = position(&span);
            let key = self.key(event, at)?;
            let (event, span) = self.next()?;
            match key {
                Key::Merge => {
                    let node = self.node(event, span)?;
                    self.merge(&node, &mut merged);
                }
                Key::Word(key) => {
                    let node = self.inside(key.clone(), event, span)?;
                    self.insert(&mut entries, key, at, node);
                }
            }
        }
        let own: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        entries.extend(merged.into_iter().filter(|e| !own.contains(&e.key)));
        Ok(Value::Table(entries))
    }

    fn key(&mut self, event: Event<'a>, at: Position) -> Result<Key, Mistake> {
        match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<" => Ok(Key::Merge),
            Event::Scalar(text, ..) => Ok(Key::Word(text.into_owned())),
            _ => Err(Mistake::at(at, "", "a key must be a word")),
        }
    }

    fn insert(&mut self, entries: &mut Vec<Entry>, key: String, at: Position, node: Arc<Node>) {
        if let Some(first) = entries.iter().find(|entry| entry.key == key) {
            let message = format!(
                "key {key} stands here twice, first in line {}",
                first.position.line
            );
            return self.report(at, message);
        }
        entries.push(Entry {
            key,
            position: at,
            node,
        });
    }

    /// Takes over the entries of tables named under `<<`; the first that has a key wins.
    fn merge(&mut self, node: &Arc<Node>, merged: &mut Vec<Entry>) {
        let tables = match &node.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        for table in tables {
            let Value::Table(entries) = &table.value else {
                self.report(table.position, "<< takes over a table, such as *name");
                continue;
            };
            for entry in entries {
                if merged.iter().all(|known| known.key != entry.key) {
                    merged.push(entry.clone());
                }
            }
        }
    }
}

enum Key {
    Word(String),
    Merge,
}

fn position(span: &Span) -> Position {
    Position {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_place_or_the_nearest_around_it() {
        let text = "a:\n  b.c: 1\n  b: { c: 2 }\n  d: [x, { e: y }]\n";
        let root = read(text, &|_| None, &mut Vec::new()).expect("YAML");
        let check = |path: &str, line, column| {
            assert_eq!(root.find(path), Position { line, column }, "{path}");
        };
        check("a.b.c", 2, 3);
        check("a.d[1].e", 4, 12);
        check("a.d[0]", 4, 7);
        check("a.d[7]", 4, 3);
        check("a.none.at.all", 1, 1);
        check("", 1, 1);
    }
}
