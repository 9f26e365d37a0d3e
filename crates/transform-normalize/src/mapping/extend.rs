//! Mapping files that share what is in a block: `extends: [block]`.

use std::sync::Arc;

use super::files::{Files, Target};
use super::problem::{MappingProblem, nearest};
use super::yaml::{Member, Yaml, YamlValue};

impl Files {
    /// A mapping file with the keys of the blocks that it extends, as if they stood in it.
    ///
    /// Lists are joined, the file's own elements first, and maps too, where the file's own member of
    /// a name counts; of the rest the file's own counts. A later block stands over an earlier one.
    ///
    /// # Errors
    /// A block that is not there or not YAML.
    pub(crate) fn extended(&self, file: Yaml, target: Target) -> Result<Yaml, MappingProblem> {
        let Some(names) = file.member("extends").cloned() else {
            return Ok(file);
        };
        let mut whole: Option<Yaml> = None;
        for name in names.elements() {
            let block = self.shared(name, target)?;
            whole = Some(match whole {
                Some(base) => over(base, block),
                None => block,
            });
        }
        Ok(match whole {
            Some(base) => over(base, file),
            None => file,
        })
    }

    fn shared(&self, name: &Yaml, target: Target) -> Result<Yaml, MappingProblem> {
        let word = name.text().unwrap_or_default();
        let path = format!("{}/blocks/{word}.yaml", target.folder());
        match self.tree(&path) {
            Some(tree) => tree.map(Arc::unwrap_or_clone),
            None => {
                let known = self.blocks(target);
                let hint = nearest(word, known.iter().map(String::as_str));
                Err(MappingProblem::new(
                    &name.at,
                    format!("there is no block \"{word}\"{hint}"),
                ))
            }
        }
    }
}

/// One tree over another: the top level only, and what lists and maps hold there.
fn over(base: Yaml, file: Yaml) -> Yaml {
    let (YamlValue::Map(mut members), YamlValue::Map(own)) = (base.value, file.value) else {
        return Yaml {
            at: file.at,
            value: YamlValue::Null,
        };
    };
    for member in own {
        match members.iter_mut().find(|known| known.name == member.name) {
            Some(known) => join(known, member),
            None => members.push(member),
        }
    }
    Yaml {
        at: file.at,
        value: YamlValue::Map(members),
    }
}

fn join(known: &mut Member, own: Member) {
    match (&mut known.value.value, own.value.value) {
        (YamlValue::List(known), YamlValue::List(own)) => drop(known.splice(0..0, own)),
        (YamlValue::Map(known), YamlValue::Map(own)) => {
            for member in own {
                match known.iter_mut().find(|one| one.name == member.name) {
                    Some(one) => *one = member,
                    None => known.push(member),
                }
            }
        }
        (known, own) => *known = own,
    }
}
