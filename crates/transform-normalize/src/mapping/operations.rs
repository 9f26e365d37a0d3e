//! The operations that yield one value, as a mapping file writes them.

use super::compile::{Compiler, Context};
use super::problem::nearest;
use super::yaml::{Yaml, YamlValue};
use crate::engine::{Expr, Keep, MetaField};

/// The name of each operation and the other keys that it reads.
const OPERATIONS: &[(&str, &[&str])] = &[
    ("const", &[]),
    ("first", &[]),
    ("cases", &[]),
    ("when", &["then"]),
    ("table", &["from", "else", "absent"]),
    ("join", &["with"]),
    ("before", &["of"]),
    ("after", &["of"]),
    ("strip", &["of"]),
    ("host_of", &[]),
    ("lower", &[]),
    ("piece", &["on", "of"]),
    ("last_part", &[]),
    ("full_path", &[]),
    ("folder_of", &[]),
    ("head", &["of"]),
    ("last", &["of"]),
    ("other", &[]),
    ("meta", &[]),
];

/// How many parts a `join` may have.
const JOIN_PARTS: usize = 8;

impl Compiler<'_> {
    /// Compiles what yields one value: a field, a number, or an operation.
    pub(crate) fn scalar(&mut self, yaml: &Yaml, cx: &Context<'_>) -> Expr {
        match &yaml.value {
            YamlValue::Text(text) => self.field(text, yaml, cx),
            YamlValue::Int(_) => self.id(yaml).map_or(Expr::Nothing, Expr::Int),
            YamlValue::Bool(truth) => Expr::Bool(*truth),
            YamlValue::Map(_) => self.operation(yaml, cx),
            YamlValue::Null | YamlValue::Float(_) | YamlValue::List(_) => {
                self.problem(
                    &yaml.at,
                    format!("expected a field or an operation, found {}", yaml.what()),
                );
                Expr::Nothing
            }
        }
    }

    fn field(&mut self, text: &str, yaml: &Yaml, cx: &Context<'_>) -> Expr {
        let Some(parameter) = text.strip_prefix('$') else {
            return self
                .path(text, &yaml.at, cx)
                .map_or(Expr::Nothing, Expr::Value);
        };
        match self.parameter(parameter, &yaml.at, cx) {
            Some((given, caller)) => self.scalar(given, &caller),
            None => Expr::Nothing,
        }
    }

    fn operation(&mut self, yaml: &Yaml, cx: &Context<'_>) -> Expr {
        let named = |(name, _): &&(&str, &[&str])| yaml.member(name).is_some();
        let Some((name, keys)) = OPERATIONS.iter().find(named) else {
            self.unknown_operation(yaml);
            return Expr::Nothing;
        };
        let mut known = vec![*name];
        known.extend_from_slice(keys);
        self.only(yaml, &known);
        let value = yaml.member(name).expect("found by its name");
        self.build(name, value, yaml, cx)
    }

    fn unknown_operation(&mut self, yaml: &Yaml) {
        let names = OPERATIONS.iter().map(|(name, _)| *name);
        let (at, word) = match yaml.members().first() {
            Some(member) => (&member.at, member.name.as_str()),
            None => (&yaml.at, ""),
        };
        let hint = nearest(word, names.clone());
        let known = names.collect::<Vec<_>>().join(", ");
        self.problem(
            at,
            format!("unknown operation \"{word}\"{hint} (known: {known})"),
        );
    }

    fn build(&mut self, name: &str, value: &Yaml, all: &Yaml, cx: &Context<'_>) -> Expr {
        let of = |compiler: &mut Self| Box::new(compiler.needed(all, "of", cx));
        match name {
            "const" => self.constant(value),
            "first" => Expr::First(self.each_scalar(value, cx)),
            "cases" => self.cases(value, cx),
            "when" => {
                let when = self.predicate(value, cx);
                Expr::Cases(vec![(Some(when), self.needed(all, "then", cx))])
            }
            "table" => {
                let ids = self.ids.clone();
                let table = self.table(all);
                self.ids = None;
                let from = Box::new(self.needed(all, "from", cx));
                self.ids = ids;
                Expr::Table { from, table }
            }
            "join" => self.join(value, all, cx),
            "before" => Expr::Cut {
                from: of(self),
                at: self.word_of(value),
                keep: Keep::Before,
            },
            "after" => Expr::Cut {
                from: of(self),
                at: self.word_of(value),
                keep: Keep::After,
            },
            "strip" => Expr::Strip {
                from: of(self),
                prefix: self.word_of(value),
            },
            "host_of" => Expr::Host(Box::new(self.scalar(value, cx))),
            "lower" => Expr::Lower(Box::new(self.scalar(value, cx))),
            "piece" => self.piece(value, all, cx),
            "last_part" => Expr::LastPart(Box::new(self.scalar(value, cx))),
            "full_path" => {
                let (folder, name) = self.folder_and_name(value, cx);
                Expr::FullPath { folder, name }
            }
            "folder_of" => {
                let (folder, name) = self.folder_and_name(value, cx);
                Expr::Folder { folder, name }
            }
            "head" | "last" => self.end(value, all, name == "last", cx),
            "other" => Expr::Other(Box::new(self.scalar(value, cx))),
            "meta" => self.meta(value),
            other => unreachable!("operation {other} is in the list but not built"),
        }
    }

    fn needed(&mut self, operation: &Yaml, key: &str, cx: &Context<'_>) -> Expr {
        match operation.member(key) {
            Some(yaml) => self.scalar(yaml, cx),
            None => {
                self.problem(&operation.at, format!("this operation needs \"{key}\""));
                Expr::Nothing
            }
        }
    }

    fn constant(&mut self, value: &Yaml) -> Expr {
        match &value.value {
            YamlValue::Text(text) => Expr::Text(text.as_str().into()),
            YamlValue::Int(_) => self.id(value).map_or(Expr::Nothing, Expr::Int),
            YamlValue::Bool(truth) => Expr::Bool(*truth),
            _ => {
                self.problem(
                    &value.at,
                    format!("expected a text, found {}", value.what()),
                );
                Expr::Nothing
            }
        }
    }

    fn each_scalar(&mut self, list: &Yaml, cx: &Context<'_>) -> Vec<Expr> {
        let all = list.elements().iter().map(|one| self.scalar(one, cx));
        all.filter(|one| !matches!(one, Expr::Nothing)).collect()
    }

    fn cases(&mut self, list: &Yaml, cx: &Context<'_>) -> Expr {
        let mut cases = Vec::new();
        for case in list.elements() {
            self.only(case, &["when", "then"]);
            let when = case.member("when").map(|when| self.predicate(when, cx));
            cases.push((when, self.needed(case, "then", cx)));
        }
        Expr::Cases(cases)
    }

    fn join(&mut self, value: &Yaml, all: &Yaml, cx: &Context<'_>) -> Expr {
        let parts = self.each_scalar(value, cx);
        if parts.len() > JOIN_PARTS {
            self.problem(&value.at, format!("a join has at most {JOIN_PARTS} parts"));
        }
        let with = all
            .member("with")
            .map(|with| self.word_of(with))
            .unwrap_or_default();
        Expr::Join { parts, with }
    }

    fn word_of(&mut self, yaml: &Yaml) -> Box<str> {
        if yaml.word().is_none() {
            self.problem(&yaml.at, format!("expected a text, found {}", yaml.what()));
        }
        yaml.word().unwrap_or_default().into()
    }

    fn piece(&mut self, value: &Yaml, all: &Yaml, cx: &Context<'_>) -> Expr {
        let from = Box::new(self.needed(all, "of", cx));
        let on = all
            .member("on")
            .map(|on| self.word_of(on))
            .unwrap_or_default();
        let index = match value.value {
            YamlValue::Int(index) if index >= 0 => index as usize,
            _ => {
                self.problem(&value.at, "expected the number of a piece, counted from 0");
                0
            }
        };
        Expr::Piece { from, on, index }
    }

    fn folder_and_name(&mut self, value: &Yaml, cx: &Context<'_>) -> (Box<Expr>, Box<Expr>) {
        self.only(value, &["folder", "name"]);
        let folder = Box::new(self.needed(value, "folder", cx));
        (folder, Box::new(self.needed(value, "name", cx)))
    }

    fn end(&mut self, value: &Yaml, all: &Yaml, last: bool, cx: &Context<'_>) -> Expr {
        let list = value.text().and_then(|list| self.path(list, &value.at, cx));
        let Some(list) = list else {
            return Expr::Nothing;
        };
        let scope = self.scopes.add();
        let inside = cx.inside(scope);
        let of = match all.member("of") {
            Some(of) => self.scalar(of, &inside),
            None => Expr::Value(self.scopes.path(scope, &[])),
        };
        Expr::End {
            list,
            last,
            scope,
            of: Box::new(of),
        }
    }

    fn meta(&mut self, value: &Yaml) -> Expr {
        const FIELDS: [(&str, MetaField); 6] = [
            ("tenant", MetaField::Tenant),
            ("kind", MetaField::Kind),
            ("table", MetaField::Table),
            ("id", MetaField::Id),
            ("uid", MetaField::Uid),
            ("time", MetaField::Time),
        ];
        let word = value.word().unwrap_or_default();
        match FIELDS.iter().find(|(name, _)| *name == word) {
            Some((_, field)) => Expr::Meta(*field),
            None => {
                let hint = nearest(&word, FIELDS.iter().map(|(name, _)| *name));
                self.problem(
                    &value.at,
                    format!("\"{word}\" is not known of an event{hint}"),
                );
                Expr::Nothing
            }
        }
    }
}
