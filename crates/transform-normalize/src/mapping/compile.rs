//! From the tree of a mapping file to what the engine evaluates: paths, selections, blocks, and
//! the operations that yield one value.

use std::collections::HashMap;
use std::sync::Arc;

use super::files::{Files, Target};
use super::problem::{MappingProblem, nearest};
use super::yaml::{Place, Yaml, YamlValue};
use crate::engine::{Otherwise, Path, Pick, ROOT, ScopeId, Scopes, Selection, Table, Words};

/// Everything that is known while one mapping file is compiled.
pub(crate) struct Compiler<'f> {
    files: &'f Files,
    target: Target,
    pub(crate) scopes: Scopes,
    /// Where paths start: the record, or the row in its envelope.
    pub(crate) start: ScopeId,
    pub(crate) problems: Vec<MappingProblem>,
    /// Finished selections, in the order in which they are made.
    pub(crate) selections: Vec<Selection>,
    selected: Vec<(String, ScopeId)>,
    tables: HashMap<String, Arc<Yaml>>,
    blocks: HashMap<String, Option<Arc<Yaml>>>,
    /// The ids that the attribute at hand may have; `None` if any number will do.
    pub(crate) ids: Option<Vec<i64>>,
}

/// Where a piece of a mapping file stands: what its paths start from.
#[derive(Clone)]
pub(crate) struct Context<'c> {
    pub(crate) scope: ScopeId,
    /// Names that go before every path.
    base: Vec<String>,
    parameters: Option<&'c Parameters<'c>>,
}

/// What the caller of a block gave it.
pub(crate) struct Parameters<'c> {
    known: Vec<String>,
    given: &'c Yaml,
    caller: Context<'c>,
}

impl<'c> Context<'c> {
    /// At the record itself.
    pub(crate) fn root() -> Self {
        Self::of(ROOT)
    }

    /// At the object of a scope.
    pub(crate) fn of(scope: ScopeId) -> Self {
        Self {
            scope,
            base: Vec::new(),
            parameters: None,
        }
    }

    /// Inside of a block.
    fn in_block(parameters: &'c Parameters<'c>) -> Self {
        Self {
            scope: parameters.caller.scope,
            base: parameters.caller.base.clone(),
            parameters: Some(parameters),
        }
    }

    /// The same place, one scope further in: the parameters of a block stay.
    pub(crate) fn inside(&self, scope: ScopeId) -> Self {
        Self {
            scope,
            base: Vec::new(),
            parameters: self.parameters,
        }
    }
}

impl Parameters<'_> {
    /// Where the block's template stands.
    pub(crate) fn context(&self) -> Context<'_> {
        Context::in_block(self)
    }
}

impl<'f> Compiler<'f> {
    /// For one file: reads its `aliases`, `tables`, and `select`.
    pub(crate) fn new(files: &'f Files, target: Target, file: &Yaml) -> Self {
        let mut compiler = Self {
            files,
            target,
            scopes: Scopes::new(aliases(file)),
            start: ROOT,
            problems: Vec::new(),
            selections: Vec::new(),
            selected: Vec::new(),
            tables: HashMap::new(),
            blocks: HashMap::new(),
            ids: None,
        };
        compiler.shared_tables();
        compiler.own_tables(file);
        compiler.row(file);
        compiler.opened_texts(file);
        compiler.select(file);
        compiler
    }

    /// Notes a mistake.
    pub(crate) fn problem(&mut self, at: &Place, message: impl Into<String>) {
        self.problems.push(MappingProblem::new(at, message));
    }

    /// Reports members of a map that nobody reads.
    pub(crate) fn only(&mut self, map: &Yaml, known: &[&str]) {
        for member in map.members() {
            if !known.contains(&member.name.as_str()) {
                let hint = nearest(&member.name, known.iter().copied());
                let message = format!(
                    "unknown key \"{}\"{hint} (known: {})",
                    member.name,
                    known.join(", ")
                );
                self.problems.push(MappingProblem::new(&member.at, message));
            }
        }
    }

    fn shared_tables(&mut self) {
        let name = format!("{}/blocks/tables.yaml", self.target.folder());
        if let Some(tables) = self.read(&name) {
            self.own_tables_of(&tables);
        }
    }

    fn own_tables(&mut self, file: &Yaml) {
        if let Some(tables) = file.member("tables") {
            self.own_tables_of(tables);
        }
    }

    fn own_tables_of(&mut self, tables: &Yaml) {
        for member in tables.members() {
            self.tables
                .insert(member.name.clone(), Arc::new(member.value.clone()));
        }
    }

    fn read(&mut self, name: &str) -> Option<Arc<Yaml>> {
        if let Some(known) = self.blocks.get(name) {
            return known.clone();
        }
        let read = match self.files.tree(name) {
            Some(Ok(yaml)) => Some(yaml),
            Some(Err(problem)) => {
                self.problems.push(problem);
                None
            }
            None => None,
        };
        self.blocks.insert(name.to_owned(), read.clone());
        read
    }

    /// Where the paths of the file start.
    pub(crate) fn start(&self) -> Context<'static> {
        Context::of(self.start)
    }

    /// Compiles `row: properties`: records are rows in an envelope, or bare rows.
    fn row(&mut self, file: &Yaml) {
        let Some(row) = file.member("row") else {
            return;
        };
        let Some(from) = row.text() else {
            self.problem(&row.at, format!("expected a field, found {}", row.what()));
            return;
        };
        let Some(from) = self.path(from, &row.at, &Context::root()) else {
            return;
        };
        self.start = self.scopes.add();
        self.selections.push(Selection {
            scope: self.start,
            from,
            pick: Pick::Row,
        });
    }

    /// Compiles `json: [field]`: texts that hold JSON.
    fn opened_texts(&mut self, file: &Yaml) {
        for name in file.member("json").map(Yaml::elements).unwrap_or_default() {
            match name.text() {
                Some(name) => self.scopes.open_text(self.start, name),
                None => self.problem(&name.at, format!("expected a field, found {}", name.what())),
            }
        }
    }

    /// Compiles `select: { name: { from: list, where: [predicate, ..] } }`.
    fn select(&mut self, file: &Yaml) {
        let Some(select) = file.member("select") else {
            return;
        };
        for member in select.members() {
            self.only(&member.value, &["from", "where"]);
            let from = member.value.member("from").and_then(Yaml::text);
            let Some(from) = from.and_then(|from| self.path(from, &member.at, &self.start()))
            else {
                self.problem(
                    &member.at,
                    "a selection needs from: the list it is taken from",
                );
                continue;
            };
            let scope = self.scopes.add();
            let cx = Context::of(scope);
            let wanted = member
                .value
                .member("where")
                .map(Yaml::elements)
                .unwrap_or_default();
            let wanted = wanted.iter().map(|one| self.predicate(one, &cx)).collect();
            self.selected.push((member.name.clone(), scope));
            self.selections.push(Selection {
                scope,
                from,
                pick: Pick::Element(wanted),
            });
        }
    }

    /// The place of a value; `None` if a parameter was left out, or after a problem.
    pub(crate) fn path(&mut self, text: &str, at: &Place, cx: &Context<'_>) -> Option<Path> {
        if let Some(parameter) = text.strip_prefix('$') {
            let (given, caller) = self.parameter(parameter, at, cx)?;
            let Some(path) = given.text() else {
                self.problem(
                    &given.at,
                    format!("parameter \"{parameter}\" must be a field here, as it is asked about"),
                );
                return None;
            };
            return self.path(path, &given.at, &caller);
        }
        let (scope, names) = self.resolve(text, cx);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if names.iter().any(|name| name.is_empty()) {
            self.problem(at, format!("\"{text}\" is not the path of a field"));
            return None;
        }
        Some(self.scopes.path(scope, &names))
    }

    /// Scope and names of a path that is not a parameter.
    fn resolve(&self, text: &str, cx: &Context<'_>) -> (ScopeId, Vec<String>) {
        if let Some(absolute) = text.strip_prefix('/') {
            return (self.start, segments(absolute));
        }
        let mut names = segments(text);
        if names[0] == "envelope" && self.start != ROOT {
            names.remove(0);
            return (ROOT, names);
        }
        if let Some((_, scope)) = self.selected.iter().find(|(name, _)| *name == names[0]) {
            names.remove(0);
            return (*scope, names);
        }
        if names[0] == "it" {
            names.remove(0);
        }
        names.splice(0..0, cx.base.iter().cloned());
        (cx.scope, names)
    }

    /// What the caller gave for a parameter, and where the caller stands.
    pub(crate) fn parameter<'c>(
        &mut self,
        name: &str,
        at: &Place,
        cx: &Context<'c>,
    ) -> Option<(&'c Yaml, Context<'c>)> {
        let known = cx
            .parameters
            .map(|parameters| parameters.known.as_slice())
            .unwrap_or_default();
        if !known.iter().any(|known| known == name) {
            let hint = nearest(name, known.iter().map(String::as_str));
            self.problem(
                at,
                format!("\"${name}\" is not a parameter of this block{hint}"),
            );
            return None;
        }
        let parameters = cx.parameters?;
        Some((parameters.given.member(name)?, parameters.caller.clone()))
    }

    /// The block that `{ use: block, .. }` names.
    pub(crate) fn block(&mut self, given: &Yaml) -> Option<Arc<Yaml>> {
        let name = given.member("use").and_then(Yaml::text).unwrap_or_default();
        let block = self.read(&format!("{}/blocks/{name}.yaml", self.target.folder()));
        let Some(block) = block else {
            let known = self.files.blocks(self.target);
            let hint = nearest(name, known.iter().map(String::as_str));
            self.problem(&given.at, format!("there is no block \"{name}\"{hint}"));
            return None;
        };
        self.only(&block, &["parameters", "template"]);
        if block.member("template").is_none() {
            self.problem(&block.at, "a block needs a template");
        }
        Some(block)
    }

    /// What `{ use: block, .. }` gives to the block, and where the block's paths start.
    pub(crate) fn parameters<'c>(
        &mut self,
        given: &'c Yaml,
        block: &Yaml,
        cx: &Context<'c>,
    ) -> Parameters<'c> {
        let known = block
            .member("parameters")
            .map(Yaml::elements)
            .unwrap_or_default();
        let known: Vec<String> = known.iter().filter_map(Yaml::word).collect();
        let mut allowed = vec!["use", "at"];
        allowed.extend(known.iter().map(String::as_str));
        self.only(given, &allowed);
        let (scope, base) = match given.member("at").and_then(Yaml::text) {
            Some(at) => self.resolve(at, cx),
            None => (cx.scope, cx.base.clone()),
        };
        let caller = Context {
            scope,
            base,
            parameters: cx.parameters,
        };
        Parameters {
            known,
            given,
            caller,
        }
    }

    /// Compiles a table: its name, or its words in place.
    pub(crate) fn table(&mut self, operation: &Yaml) -> Table {
        let given = operation.member("table").expect("only called for tables");
        let table = match given.text() {
            Some(name) => match self.tables.get(name) {
                Some(table) => Arc::clone(table),
                None => {
                    let hint = nearest(name, self.tables.keys().map(String::as_str));
                    self.problem(&given.at, format!("there is no table \"{name}\"{hint}"));
                    return Table {
                        words: Words::default(),
                        otherwise: Otherwise::Other,
                        absent: None,
                    };
                }
            },
            None => Arc::new(given.clone()),
        };
        let has_settings = table.member("words").is_some();
        let words = self.table_words(table.member("words").unwrap_or(&table));
        let settings = [Some(operation), has_settings.then_some(&*table)];
        let setting = |name: &str| {
            settings
                .into_iter()
                .flatten()
                .find_map(|map| map.member(name))
        };
        Table {
            words,
            otherwise: setting("else")
                .map_or(Otherwise::Other, |otherwise| self.otherwise(otherwise)),
            absent: setting("absent").and_then(|absent| self.id(absent)),
        }
    }

    fn table_words(&mut self, map: &Yaml) -> Words {
        let mut words = Words::default();
        if map.members().is_empty() {
            self.problem(&map.at, "a table needs words and their ids");
        }
        for member in map.members() {
            if let Some(id) = self.id(&member.value) {
                words.add(&member.name, id);
            }
        }
        words
    }

    fn otherwise(&mut self, yaml: &Yaml) -> Otherwise {
        match (&yaml.value, yaml.text()) {
            (YamlValue::Int(_), _) => self.id(yaml).map_or(Otherwise::Skip, Otherwise::Id),
            (_, Some("other")) => Otherwise::Other,
            (_, Some("skip")) => Otherwise::Skip,
            _ => {
                self.problem(&yaml.at, "else must be an id, other, or skip");
                Otherwise::Other
            }
        }
    }

    /// An id, checked against those that the attribute at hand may have.
    pub(crate) fn id(&mut self, yaml: &Yaml) -> Option<i64> {
        let YamlValue::Int(id) = yaml.value else {
            self.problem(&yaml.at, format!("expected an id, found {}", yaml.what()));
            return None;
        };
        if let Some(ids) = self.ids.as_ref().filter(|ids| !ids.contains(&id)) {
            let known: Vec<String> = ids.iter().map(i64::to_string).collect();
            let message = format!(
                "{id} is not an id of this attribute (known: {})",
                known.join(", ")
            );
            self.problems.push(MappingProblem::new(&yaml.at, message));
        }
        Some(id)
    }
}

/// The names of a path. A name with dots of its own stands in quotes; one that begins with `@` has one
/// dot without them, as in `@odata.type`.
fn segments(path: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut is_quoted = false;
    for part in path.split('.') {
        match names.last_mut() {
            Some(last) if is_quoted || (last.starts_with('@') && !last.contains('.')) => {
                last.push('.');
                last.push_str(part);
            }
            _ => names.push(part.to_owned()),
        }
        is_quoted ^= part.matches('"').count() % 2 == 1;
    }
    for name in &mut names {
        if let Some(inner) = name.strip_prefix('"').and_then(|it| it.strip_suffix('"')) {
            *name = inner.to_owned();
        }
    }
    names
}

fn aliases(file: &Yaml) -> Vec<(String, Vec<String>)> {
    let others = |yaml: &Yaml| yaml.elements().iter().filter_map(Yaml::word).collect();
    let members = file
        .member("aliases")
        .map(Yaml::members)
        .unwrap_or_default();
    members
        .iter()
        .map(|member| (member.name.clone(), others(&member.value)))
        .collect()
}
