//! From a mapping file to a plan, proven against the schema on the way.

use super::ecs;
use super::facts::{Attribute, Facts, Framework, Item as Shape};
use super::observables::observable;
use super::plan::{Arm, Constraint, Field, Fit, Object, Observable, Plan, Residue, Scalar, Value};
use crate::engine::{Expr, Predicate, ROOT};
use crate::mapping::{Compiler, Context, Files, MappingProblem, Member, Target, Yaml, nearest};

/// Keys of a mapping file.
const KEYS: &[&str] = &[
    "class", "profiles", "event", "arms", "select", "tables", "aliases", "keep", "extends", "row",
    "json", "ignore",
];

/// Compiles one mapping file.
pub(super) struct Template<'f> {
    pub(super) compiler: Compiler<'f>,
    pub(super) facts: &'static Facts,
    pub(super) profiles: Vec<String>,
    pub(super) observables: Vec<Observable>,
    /// The path of the attribute at hand, with `[]` for each array.
    pub(super) here: String,
}

impl Plan {
    /// Compiles a mapping file and proves it.
    ///
    /// # Errors
    /// Every mistake in the file, and in the blocks as it uses them.
    pub(crate) fn compile(
        files: &Files,
        name: &str,
        text: &str,
        target: Target,
    ) -> Result<Self, Vec<MappingProblem>> {
        let file = Yaml::read(name, text)
            .and_then(|file| files.extended(file, target))
            .map_err(|problem| vec![problem])?;
        let facts = Facts::of(target);
        let mut template = Template {
            compiler: Compiler::new(files, target, &file),
            facts,
            profiles: Vec::new(),
            observables: Vec::new(),
            here: String::new(),
        };
        let arms = template.arms(&file);
        let ignored = template.ignored(&file);
        let Template {
            compiler,
            observables,
            ..
        } = template;
        if !compiler.problems.is_empty() {
            return Err(compiler.problems);
        }
        Ok(Plan {
            row: compiler.start,
            ignored,
            shapes: compiler.scopes.finish(),
            selections: compiler.selections,
            arms,
            observables,
            residue: Residue::of(facts.framework),
        })
    }
}

impl Template<'_> {
    fn arms(&mut self, file: &Yaml) -> Vec<Arm> {
        self.compiler.only(file, KEYS);
        for name in file.member("keep").map(Yaml::elements).unwrap_or_default() {
            if let Some(name) = name.word() {
                match name.strip_prefix("envelope.") {
                    Some(name) => self.compiler.scopes.know(ROOT, name),
                    None => self.compiler.scopes.know(self.compiler.start, &name),
                }
            }
        }
        let Some(arms) = file.member("arms") else {
            return self.arm(file, None, &[]).into_iter().collect();
        };
        let shared: Vec<&Yaml> = file.member("event").into_iter().collect();
        let arms = arms.elements().iter();
        arms.filter_map(|arm| {
            self.compiler
                .only(arm, &["when", "class", "profiles", "event"]);
            let when = arm
                .member("when")
                .map(|when| self.compiler.predicate(when, &self.compiler.start()));
            let mut compiled = self.arm(arm, file.member("profiles"), &shared)?;
            compiled.when = when;
            Some(compiled)
        })
        .collect()
    }

    fn arm(&mut self, arm: &Yaml, profiles: Option<&Yaml>, shared: &[&Yaml]) -> Option<Arm> {
        let class = self.class(arm)?;
        self.profiles = self.profiles_of(arm.member("profiles").or(profiles), class);
        let mut templates = shared.to_vec();
        match arm.member("event") {
            Some(event) => templates.push(event),
            None if shared.is_empty() => {
                self.compiler
                    .problem(&arm.at, "the key \"event\" is missing");
                return None;
            }
            None => {}
        }
        let event = self.event(class, &templates);
        Some(Arm { when: None, event })
    }

    /// Compiles `ignore: [{ field: word }]`.
    fn ignored(&mut self, file: &Yaml) -> Vec<Predicate> {
        let ignored = file.member("ignore").map(Yaml::elements);
        let members = ignored.unwrap_or_default().iter().flat_map(Yaml::members);
        let cx = self.compiler.start();
        members
            .map(|member| self.compiler.question(member, &cx))
            .collect()
    }

    fn class(&mut self, arm: &Yaml) -> Option<&'static Shape> {
        if self.facts.framework == Framework::Ecs {
            if let Some(named) = arm.member("class") {
                self.compiler.problem(&named.at, "ECS knows no classes");
            }
            return self.facts.class(ecs::CLASS);
        }
        let Some(named) = arm.member("class") else {
            self.compiler
                .problem(&arm.at, "the key \"class\" is missing");
            return None;
        };
        let name = named.text().unwrap_or_default();
        let class = self.facts.class(name);
        if class.is_none() {
            let hint = nearest(name, self.facts.class_names());
            self.compiler.problem(
                &named.at,
                format!("OCSF {} has no class \"{name}\"{hint}", self.facts.version),
            );
        }
        class
    }

    fn profiles_of(&mut self, profiles: Option<&Yaml>, class: &Shape) -> Vec<String> {
        let Some(profiles) = profiles else {
            return Vec::new();
        };
        let mut names = Vec::new();
        for profile in profiles.elements() {
            let name = profile.word().unwrap_or_default();
            if !class.profiles.contains(&name) {
                let hint = nearest(&name, class.profiles.iter().map(String::as_str));
                self.compiler.problem(
                    &profile.at,
                    format!("this class takes no profile \"{name}\"{hint}"),
                );
            }
            names.push(name);
        }
        names
    }

    /// The event as a whole: what the file says, and what every event of the class has.
    fn event(&mut self, class: &'static Shape, templates: &[&Yaml]) -> Object {
        let mut object = self.object(class, "", templates, &self.compiler.start());
        if self.facts.framework == Framework::Ecs {
            object.fields.insert(0, Self::ecs_version());
            object.shift();
            return object;
        }
        let category = class.category_name.as_deref().unwrap_or("Uncategorized");
        let fixed = format!(
            "{},\"class_uid\":{},\"class_name\":{},\"category_name\":{}",
            class.category_uid,
            class.uid,
            json(&class.caption),
            json(category),
        );
        let field = Field {
            key: b"\"category_uid\":".as_slice().into(),
            value: Value::Fixed(fixed.into_bytes().into()),
        };
        object.fields.insert(0, field);
        object.shift();
        object
    }

    /// An object of one template over another; of a name in several the last counts.
    pub(super) fn object(
        &mut self,
        shape: &'static Shape,
        name: &str,
        templates: &[&Yaml],
        cx: &Context<'_>,
    ) -> Object {
        let event = self.here.is_empty();
        let mut members: Vec<&Member> = Vec::new();
        for member in templates.iter().flat_map(|template| template.members()) {
            match members.iter().position(|known| known.name == member.name) {
                Some(at) => members[at] = member,
                None => members.push(member),
            }
        }
        // What is left of an object is only known when everything else has been written.
        members.sort_by_key(|member| member.value.member("rest").is_some());
        let mut object = Object {
            fields: Vec::new(),
            required: 0,
            from_record: 0,
            constraints: Vec::new(),
        };
        let mut names: Vec<&str> = Vec::new();
        for member in members {
            if let Some((value, from_record)) = self.attribute(shape, name, member, cx) {
                let bit = 1_u128 << names.len();
                object.required |= if self.facts.required(shape, &member.name) {
                    bit
                } else {
                    0
                };
                object.from_record |= if from_record { bit } else { 0 };
                let key = format!("\"{}\":", member.name).into_bytes().into();
                object.fields.push(Field { key, value });
                names.push(&member.name);
            }
        }
        let at = templates.last().map(|template| template.at.clone());
        if let Some(at) = at {
            self.check_required(shape, &names, event, &at);
            object.constraints = self.constraints(shape, &names, &at);
            if names.len() > 120 {
                self.compiler
                    .problem(&at, "more than 120 attributes in one object");
            }
        }
        object
    }

    fn check_required(
        &mut self,
        shape: &Shape,
        names: &[&str],
        event: bool,
        at: &crate::mapping::Place,
    ) {
        const BY_ITSELF: [&str; 3] = ["category_uid", "class_uid", "type_uid"];
        let facts = self.facts;
        for (name, _) in facts.attributes(shape, &self.profiles) {
            let given = names.contains(&name) || (event && BY_ITSELF.contains(&name));
            if facts.required(shape, name) && !given {
                self.compiler.problem(
                    at,
                    format!("the required attribute \"{name}\" is missing here"),
                );
            }
        }
    }

    fn constraints(
        &mut self,
        shape: &Shape,
        names: &[&str],
        at: &crate::mapping::Place,
    ) -> Vec<Constraint> {
        let mut constraints = Vec::new();
        for (rule, among) in &shape.constraints {
            let bit = |(index, name): (usize, &&str)| {
                let named = among.iter().any(|one| one.split('.').next() == Some(name));
                if named { 1_u128 << index } else { 0 }
            };
            let fields = names
                .iter()
                .enumerate()
                .map(bit)
                .fold(0, |all, one| all | one);
            if fields == 0 {
                self.compiler.problem(
                    at,
                    format!(
                        "one of these attributes is needed here: {}",
                        among.join(", ")
                    ),
                );
            }
            constraints.push(Constraint {
                fields,
                just_one: rule == "just_one",
            });
        }
        constraints
    }

    /// Compiles one attribute; also says whether its value comes from the record.
    fn attribute(
        &mut self,
        shape: &'static Shape,
        object: &str,
        member: &Member,
        cx: &Context<'_>,
    ) -> Option<(Value, bool)> {
        let facts = self.facts;
        let found = facts.attribute(shape, &member.name, &self.profiles);
        let Some((name, attribute)) = found else {
            self.unknown_attribute(shape, member);
            return None;
        };
        let outside = self.here.len();
        if !self.here.is_empty() {
            self.here.push('.');
        }
        self.here.push_str(name);
        let own = match (object, facts.framework) {
            ("", Framework::Ocsf) => self.ocsf_attribute(shape, attribute, name, member, cx),
            ("", Framework::Ecs) => self.ecs_attribute(attribute, name, member, cx),
            _ => None,
        };
        let value = own.unwrap_or_else(|| self.value(attribute, object, name, &member.value, cx));
        self.here.truncate(outside);
        let value = value?;
        let from_record = value.is_from_record();
        Some((value, from_record))
    }

    fn unknown_attribute(&mut self, shape: &'static Shape, member: &Member) {
        let facts = self.facts;
        let needed = facts.profiles_for(shape, &member.name);
        let message = if needed.is_empty() {
            let known: Vec<&str> = facts
                .attributes(shape, &self.profiles)
                .map(|(name, _)| name)
                .collect();
            format!(
                "there is no attribute \"{}\" here{}",
                member.name,
                nearest(&member.name, known)
            )
        } else {
            format!(
                "\"{}\" needs the profile {}",
                member.name,
                needed.join(" or ")
            )
        };
        self.compiler.problem(&member.at, message);
    }

    /// One value of a primitive type.
    pub(super) fn scalar_of(
        &mut self,
        attribute: &Attribute,
        object: &str,
        name: &str,
        expr: Expr,
    ) -> Option<Scalar> {
        let fit = self.fit(&attribute.type_name)?;
        let observable = match self.facts.framework {
            Framework::Ocsf => observable(&self.here, object, name, &attribute.type_name),
            Framework::Ecs => None,
        };
        let observable = observable.map(|observable| {
            self.observables.push(observable);
            (self.observables.len() - 1) as u16
        });
        Some(Scalar {
            expr,
            fit,
            observable,
        })
    }

    fn fit(&self, type_name: &str) -> Option<Fit> {
        let types: Vec<_> = self.facts.types(type_name).collect();
        let max = types
            .iter()
            .find_map(|(_, facts)| facts.max_len)
            .unwrap_or(usize::MAX);
        let range = types.iter().find_map(|(_, facts)| facts.range);
        let (primitive, _) = types.last()?;
        Some(match (type_name, *primitive) {
            ("ip_t", _) => Fit::Ip,
            ("mac_t", _) => Fit::Mac,
            ("uuid_t", _) => Fit::Uuid,
            ("email_t", _) => Fit::Email,
            ("timestamp_t", _) => Fit::Time,
            ("date_t", _) => Fit::Date,
            (_, "integer_t") => {
                let (min, max) = range.unwrap_or((i64::from(i32::MIN), i64::from(i32::MAX)));
                Fit::Int { min, max }
            }
            (_, "long_t") => Fit::Int {
                min: i64::MIN,
                max: i64::MAX,
            },
            (_, "float_t") => Fit::Float,
            (_, "boolean_t") => Fit::Bool,
            _ => Fit::Text { max },
        })
    }
}

impl Object {
    /// Makes room for a field that was put in front.
    fn shift(&mut self) {
        self.required <<= 1;
        self.from_record <<= 1;
        for constraint in &mut self.constraints {
            constraint.fields <<= 1;
        }
    }
}

/// A text as JSON.
pub(super) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
