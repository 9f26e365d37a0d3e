//! From a mapping file to a plan, proven against the key dictionary on the way.

use crate::engine::Expr;
use crate::mapping::{Compiler, Files, MappingProblem, Member, Yaml, YamlValue};

use super::dialect::Dialect;
use super::dictionary::Holds;
use super::line::{PRODUCT_BYTES, VENDOR_BYTES, VERSION_BYTES};
use super::options::CefOptions;
use super::output_key::OutputKey;
use super::plan::{CefPlan, From, Rule, Title};
use crate::leef;

/// Device Vendor of everything that comes from Defender.
const VENDOR: &str = "Microsoft";
/// What may stand beside the key of a rule.
const RULE_SETTINGS: [&str; 5] = ["label", "when", "unless", "whole_in", "cef_version"];
/// The same for LEEF, whose keys have no labels.
const LEEF_RULE_SETTINGS: [&str; 3] = ["when", "unless", "whole_in"];
/// What a severity of LEEF may be.
const LEVELS: std::ops::RangeInclusive<i64> = 1..=10;
const SEVERITIES: std::ops::RangeInclusive<i64> = 0..=10;

/// Compiles the mapping file of one kind.
///
/// # Errors
/// All mistakes of the file, with their lines.
pub(crate) fn compile(
    files: &Files,
    name: &str,
    text: &str,
    options: &CefOptions,
) -> Result<CefPlan, Vec<MappingProblem>> {
    let yaml = Yaml::read(name, text)
        .and_then(|file| files.extended(file, options.dialect.target()))
        .map_err(|problem| vec![problem])?;
    let mut build = Build {
        compiler: Compiler::new(files, options.dialect.target(), &yaml),
        options,
        keys: Vec::new(),
    };
    let plan = build.plan(&yaml);
    if build.compiler.problems.is_empty() {
        Ok(CefPlan {
            selections: build.compiler.selections,
            shapes: build.compiler.scopes.finish(),
            ..plan
        })
    } else {
        Err(build.compiler.problems)
    }
}

struct Build<'f> {
    compiler: Compiler<'f>,
    options: &'f CefOptions,
    /// Names of the keys used so far; a key's number is its place here.
    keys: Vec<String>,
}

impl Build<'_> {
    /// The plan, still without shapes and selections, which are known at the end.
    fn plan(&mut self, file: &Yaml) -> CefPlan {
        let known = [
            "vendor", "product", "version", "aliases", "tables", "select", "header", "keys",
            "extends", "row", "json",
        ];
        self.compiler.only(file, &known);
        let prefix = self.prefix(file);
        let header = self.needed(file, "header");
        let (class_id, title) = self.header(&header);
        let keys = self.needed(file, "keys");
        let rules = keys
            .elements()
            .iter()
            .filter_map(|rule| self.rule(rule))
            .collect();
        let raw = self.raw();
        let max_bytes = self.options.max_bytes;
        CefPlan {
            shapes: Vec::new(),
            selections: Vec::new(),
            prefix,
            class_id,
            title,
            rules,
            raw,
            max_bytes,
        }
    }

    fn prefix(&mut self, file: &Yaml) -> Vec<u8> {
        let options = self.options;
        let version = match options.dialect {
            Dialect::Leef => leef::VERSION,
            Dialect::Cef if options.version_one => "CEF:1|",
            Dialect::Cef => "CEF:0|",
        };
        let mut prefix = version.as_bytes().to_vec();
        let fields = [
            ("vendor", &options.vendor, VENDOR_BYTES),
            ("product", &options.product, PRODUCT_BYTES),
            ("version", &options.product_version, VERSION_BYTES),
        ];
        for (name, chosen, max) in fields {
            let text = chosen
                .clone()
                .unwrap_or_else(|| self.header_constant(file, name));
            if text.is_empty() || options.dialect.header(&mut prefix, &text, max) {
                let message = format!("\"{name}\" must be a text of 1 to {max} bytes");
                self.compiler.problem(&file.at, message);
            }
            prefix.push(b'|');
        }
        prefix
    }

    fn header_constant(&mut self, file: &Yaml, name: &str) -> String {
        let default = if name == "vendor" { VENDOR } else { "" };
        file.member(name)
            .and_then(Yaml::word)
            .unwrap_or_else(|| default.to_owned())
    }

    fn needed(&mut self, map: &Yaml, name: &str) -> Yaml {
        map.member(name).cloned().unwrap_or_else(|| {
            self.compiler
                .problem(&map.at, format!("\"{name}\" is missing"));
            Yaml {
                at: map.at.clone(),
                value: YamlValue::List(Vec::new()),
            }
        })
    }

    /// What says which event it is, and what CEF has in its header beyond that.
    fn header(&mut self, header: &Yaml) -> (Vec<Expr>, Option<Title>) {
        match self.options.dialect {
            Dialect::Cef => {
                self.compiler
                    .only(header, &["class_id", "name", "severity"]);
                let class_id = self.alternatives(header, "class_id");
                let name = self.alternatives(header, "name");
                let severity = self.severity(header);
                (class_id, Some(Title { name, severity }))
            }
            Dialect::Leef => {
                self.compiler.only(header, &["event_id"]);
                (self.alternatives(header, "event_id"), None)
            }
        }
    }

    fn alternatives(&mut self, header: &Yaml, name: &str) -> Vec<Expr> {
        let all = self.needed(header, name);
        all.elements()
            .iter()
            .map(|one| self.compiler.scalar(one, &self.compiler.start()))
            .collect()
    }

    fn severity(&mut self, header: &Yaml) -> Expr {
        let severity = self.needed(header, "severity");
        self.compiler.ids = Some(SEVERITIES.collect());
        let expr = self.compiler.scalar(&severity, &self.compiler.start());
        self.compiler.ids = None;
        expr
    }

    /// One rule: `{ key: value, label: .., when: .., unless: [keys], whole_in: key, cef_version: 1 }`.
    fn rule(&mut self, yaml: &Yaml) -> Option<Rule> {
        let known = match self.options.dialect {
            Dialect::Cef => &RULE_SETTINGS[..],
            Dialect::Leef => &LEEF_RULE_SETTINGS,
        };
        let is_key = |member: &&Member| !known.contains(&member.name.as_str());
        let mut keys = yaml.members().iter().filter(is_key);
        let (Some(member), None) = (keys.next(), keys.next()) else {
            let settings = known.join(", ");
            self.compiler.problem(
                &yaml.at,
                format!("expected one key and its value, and at most {settings}"),
            );
            return None;
        };
        let needs_version_one = self.needs_version_one(yaml);
        let label = yaml.member("label").and_then(Yaml::word);
        let made = OutputKey::new(
            self.options.dialect,
            self.id(&member.name),
            &member.name,
            label.as_deref(),
            needs_version_one,
        );
        let key = made
            .map_err(|why| self.compiler.problem(&member.at, why))
            .ok()?;
        let rule = Rule {
            from: self.from(&member.value, &key),
            when: yaml
                .member("when")
                .map(|when| self.compiler.predicate(when, &self.compiler.start())),
            unless: self.unless(yaml),
            whole_in: self.whole_in(yaml),
            key,
        };
        let dropped = self.options.drop.contains(&rule.key.name);
        (!dropped && (self.options.version_one || !needs_version_one)).then_some(rule)
    }

    fn needs_version_one(&mut self, rule: &Yaml) -> bool {
        match rule
            .member("cef_version")
            .map(|version| (&version.at, &version.value))
        {
            None | Some((_, YamlValue::Int(0))) => false,
            Some((_, YamlValue::Int(1))) => true,
            Some((at, _)) => {
                self.compiler.problem(&at.clone(), "cef_version is 0 or 1");
                false
            }
        }
    }

    fn from(&mut self, value: &Yaml, key: &OutputKey) -> From {
        let root = self.compiler.start();
        if let Some(list) = value.member("list") {
            self.compiler.only(value, &["list"]);
            let values = list.elements().iter();
            return From::List(values.map(|one| self.compiler.scalar(one, &root)).collect());
        }
        if let Some(list) = value.member("count") {
            self.compiler.only(value, &["count"]);
            if let Some(path) = self
                .compiler
                .path(list.text().unwrap_or_default(), &list.at, &root)
            {
                return From::Count(path);
            }
        }
        self.compiler.ids = (key.holds == Holds::Level).then(|| LEVELS.collect());
        let expr = self.compiler.scalar(value, &root);
        self.compiler.ids = None;
        if !can_hold(key.holds, &expr) {
            let message = format!(
                "`{}` cannot hold this: it holds {}",
                key.name,
                key.holds.words()
            );
            self.compiler.problem(&value.at, message);
        }
        From::Value(expr)
    }

    fn unless(&mut self, rule: &Yaml) -> Vec<u16> {
        let Some(others) = rule.member("unless") else {
            return Vec::new();
        };
        let mut ids = Vec::new();
        for other in others.elements() {
            let name = other.word().unwrap_or_default();
            match self.keys.iter().position(|key| *key == name) {
                Some(place) => ids.push(number(place)),
                None => self
                    .compiler
                    .problem(&other.at, format!("no rule above writes `{name}`")),
            }
        }
        ids
    }

    fn whole_in(&mut self, rule: &Yaml) -> Option<OutputKey> {
        let name = rule.member("whole_in")?;
        let word = name.word().unwrap_or_default();
        let key = OutputKey::new(self.options.dialect, self.id(&word), &word, None, false);
        let key = key
            .map_err(|why| self.compiler.problem(&name.at, why))
            .ok()?;
        (!self.options.drop.contains(&word)).then_some(key)
    }

    fn raw(&mut self) -> Option<OutputKey> {
        let name = self.options.raw_as.as_deref()?;
        // What is wrong with the operator's choice was said when the settings were checked.
        OutputKey::raw(self.options.dialect, self.id(name), name).ok()
    }

    /// The number of a key: the same for all rules that write it.
    fn id(&mut self, name: &str) -> u16 {
        let known = self.keys.iter().position(|key| key == name);
        number(known.unwrap_or_else(|| {
            self.keys.push(name.to_owned());
            self.keys.len() - 1
        }))
    }
}

fn number(place: usize) -> u16 {
    u16::try_from(place)
        .expect("CEF has fewer keys than 65536, and a mapping uses each by one name")
}

/// Whether a key may ever hold what an expression yields; values of the record are tried later.
fn can_hold(holds: Holds, expr: &Expr) -> bool {
    let text = matches!(holds, Holds::Text(_));
    let number = matches!(
        holds,
        Holds::Integer | Holds::Long | Holds::Double | Holds::Port | Holds::Level
    );
    match expr {
        Expr::Text(_) => text,
        Expr::Int(_) | Expr::Table { .. } => text || number,
        Expr::Bool(_) => text || (number && holds != Holds::Double),
        Expr::Meta(crate::engine::MetaField::Time) => {
            text || matches!(holds, Holds::Time | Holds::Date)
        }
        Expr::Meta(_) => text,
        Expr::First(all) => all.iter().all(|one| can_hold(holds, one)),
        Expr::Cases(cases) => cases.iter().all(|(_, then)| can_hold(holds, then)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "product: P\nversion: 1\nheader: { class_id: id, name: title, severity: 5 }\nkeys:\n";

    fn compiled(rule: &str, options: &CefOptions) -> Result<CefPlan, Vec<MappingProblem>> {
        compile(
            &Files::embedded(),
            "cef/graph/alert.yaml",
            &format!("{HEADER}  - {rule}\n"),
            options,
        )
    }

    #[test]
    fn a_rule_that_could_emit_what_the_standard_forbids_does_not_load() {
        let check = |rule, expected: &str| {
            let problems = compiled(rule, &CefOptions::default()).unwrap_err();
            let told = problems[0].to_string();
            assert!(
                told.starts_with("cef/graph/alert.yaml:5:") && told.contains(expected),
                "{told}"
            );
        };
        check("{ msgg: id }", "did you mean `msg`?");
        check("{ rawEvent: id }", "a producer must not send it");
        check("{ cs1: id }", "needs a `label`");
        check("{ msg: id, label: Text }", "takes no `label`");
        check("{ threatActor: id }", "`cef_version: 1`");
        check(
            "{ fsize: { const: big } }",
            "`fsize` cannot hold this: it holds a 32-bit number",
        );
        check("{ rt: 7 }", "milliseconds");
        check("{ src: { table: { a: 1 }, from: id } }", "an IPv4 address");
        check("{ msg: id, unless: act }", "no rule above writes `act`");
        check("{ msg: { lwer: id } }", "unknown operation \"lwer\"");
        check("{ msg: id, act: id }", "expected one key");
        check("{ msg: id, cef_version: 2 }", "cef_version is 0 or 1");
    }

    #[test]
    fn severities_are_between_0_and_10() {
        let file = HEADER.replace("severity: 5", "severity: { table: { high: 11 }, from: s }")
            + "  - { msg: id }\n";
        let problems =
            compile(&Files::embedded(), "f.yaml", &file, &CefOptions::default()).unwrap_err();
        assert!(problems[0].message.contains("11"), "{}", problems[0]);
        assert_eq!(problems[0].line, 3);
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let file = "product: P\nheadr: 1\nkeys:\n  - { msgg: id }\n  - { cs1: id }\n";
        let problems =
            compile(&Files::embedded(), "f.yaml", file, &CefOptions::default()).unwrap_err();
        assert!(problems.len() >= 5, "{problems:?}");
    }

    #[test]
    fn keys_of_cef_1_2_are_left_out_of_version_0_and_dropped_keys_of_both() {
        let check = |rule, options: CefOptions, expected| {
            assert_eq!(
                compiled(rule, &options).unwrap().rules.len(),
                expected,
                "{rule}"
            );
        };
        let version_one = || CefOptions {
            version_one: true,
            ..CefOptions::default()
        };
        let dropping = || CefOptions {
            drop: vec!["cs1".into()],
            ..CefOptions::default()
        };
        check(
            "{ threatActor: actor, cef_version: 1 }",
            CefOptions::default(),
            0,
        );
        check("{ threatActor: actor, cef_version: 1 }", version_one(), 1);
        check("{ cs1: id, label: Id }", dropping(), 0);
        check("{ cs2: id, label: Id }", dropping(), 1);
    }

    #[test]
    fn whatever_stands_in_a_mapping_file_each_mistake_is_told_with_its_line() {
        let rules = "  - { msg: title, act: { constant: blocked } }\n  - { cs1: { path: evidence, first_where: { roles: attacker } }, cs1Label: Attacker }\n";
        let (files, options) = (Files::embedded(), CefOptions::default());
        let text = format!("{HEADER}{rules}");
        for (number, bytes) in tapline_testkit::variants(text.as_bytes(), 5_000) {
            let text = String::from_utf8_lossy(&bytes);
            if let Err(problems) = compile(&files, "cef/graph/alert.yaml", &text, &options) {
                let placed = problems
                    .iter()
                    .all(|it| !it.file.is_empty() && !it.message.is_empty());
                assert!(
                    placed && !problems.is_empty(),
                    "{number}: {problems:?}\n{text}"
                );
            }
        }
    }
}
