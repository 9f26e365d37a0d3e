//! Scopes: which names of an object a plan asks for, and the slots their values go to.

use super::predicate::Predicate;

/// Which object a path starts from. The record itself is [`ROOT`].
pub(crate) type ScopeId = u16;

/// The scope of the record.
pub(crate) const ROOT: ScopeId = 0;

/// Where a plan finds one value of the record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Path {
    pub(crate) scope: ScopeId,
    /// Slot 0 is the scope's own object or element.
    pub(crate) slot: u16,
}

/// A value that has a scope of its own, such as the primary device among the evidence.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) scope: ScopeId,
    /// Where it is picked from.
    pub(crate) from: Path,
    pub(crate) pick: Pick,
}

/// What a selection picks.
#[derive(Debug)]
pub(crate) enum Pick {
    /// The element of a list for which the first of these holds; each is tried over the whole list.
    Element(Vec<Predicate>),
    /// The object itself, which a record may have around it an envelope or not: without one it is
    /// the record.
    Row,
}

/// The names that a plan asks for below one object, while it is compiled.
#[derive(Debug, Default)]
struct Names(Vec<(Box<str>, Entry)>);

#[derive(Debug, Default)]
struct Entry {
    slot: Option<u16>,
    opens: bool,
    below: Names,
}

#[derive(Debug)]
struct Growing {
    names: Names,
    slots: u16,
}

/// All scopes of a plan while it is compiled.
#[derive(Debug)]
pub(crate) struct Scopes {
    growing: Vec<Growing>,
    /// Other spellings of a name, in every scope.
    aliases: Vec<(String, Vec<String>)>,
}

impl Scopes {
    /// Starts with the record's scope.
    pub(crate) fn new(aliases: Vec<(String, Vec<String>)>) -> Self {
        let mut scopes = Self {
            growing: Vec::new(),
            aliases,
        };
        scopes.add();
        scopes
    }

    /// Opens a scope for the elements of a list.
    pub(crate) fn add(&mut self) -> ScopeId {
        self.growing.push(Growing {
            names: Names::default(),
            slots: 1,
        });
        (self.growing.len() - 1) as ScopeId
    }

    /// The slot of the value at `names` below the scope's object; without names the object itself.
    pub(crate) fn path(&mut self, scope: ScopeId, names: &[&str]) -> Path {
        let growing = &mut self.growing[usize::from(scope)];
        let slot = match names {
            [] => 0,
            names => growing.names.slot(names, &mut growing.slots),
        };
        Path { scope, slot }
    }

    /// Makes a name known without asking for its value.
    pub(crate) fn know(&mut self, scope: ScopeId, name: &str) {
        self.growing[usize::from(scope)].names.entry(name);
    }

    /// Says that a member is text which holds JSON.
    pub(crate) fn open_text(&mut self, scope: ScopeId, name: &str) {
        self.growing[usize::from(scope)].names.entry(name).opens = true;
    }

    /// The finished shapes, by [`ScopeId`].
    pub(crate) fn finish(self) -> Vec<Shape> {
        let aliases = &self.aliases;
        let shape = |growing: Growing| Shape {
            slots: growing.slots,
            names: Level::new(growing.names, aliases),
        };
        self.growing.into_iter().map(shape).collect()
    }
}

impl Names {
    fn slot(&mut self, names: &[&str], slots: &mut u16) -> u16 {
        let (name, below) = names.split_first().expect("a path has at least one name");
        let entry = self.entry(name);
        if !below.is_empty() {
            return entry.below.slot(below, slots);
        }
        *entry.slot.get_or_insert_with(|| {
            *slots += 1;
            *slots - 1
        })
    }

    fn entry(&mut self, name: &str) -> &mut Entry {
        let known = |(known, _): &(Box<str>, Entry)| known.eq_ignore_ascii_case(name);
        let at = self.0.iter().position(known).unwrap_or_else(|| {
            self.0.push((name.into(), Entry::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}

/// What a plan asks for in the objects of one scope.
#[derive(Debug)]
pub(crate) struct Shape {
    /// How many slots the scope has.
    pub(crate) slots: u16,
    pub(crate) names: Level,
}

/// The names that are asked for in one object, as a hash table with open addressing.
#[derive(Debug)]
pub(crate) struct Level {
    /// Hash of a name, and its index into `spellings` plus one; 0 is free. The length is a power
    /// of two.
    table: Box<[(u32, u16)]>,
    spellings: Box<[(Box<str>, u16)]>,
    wanted: Box<[Wanted]>,
}

/// What happens to the value of one name.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) slot: Option<u16>,
    /// It is text that holds JSON, and read as such.
    pub(crate) opens: bool,
    pub(crate) below: Option<Level>,
}

impl Level {
    fn new(names: Names, aliases: &[(String, Vec<String>)]) -> Self {
        let mut spellings = Vec::new();
        let mut wanted = Vec::new();
        for (at, (name, entry)) in names.0.into_iter().enumerate() {
            let same = |(known, _): &&(String, Vec<String>)| known.eq_ignore_ascii_case(&name);
            for (_, others) in aliases.iter().filter(same) {
                spellings.extend(
                    others
                        .iter()
                        .map(|other| (Box::from(other.as_str()), at as u16)),
                );
            }
            spellings.push((name, at as u16));
            let below = (!entry.below.0.is_empty()).then(|| Level::new(entry.below, aliases));
            wanted.push(Wanted {
                slot: entry.slot,
                opens: entry.opens,
                below,
            });
        }
        let table = hash_table(&spellings);
        Self {
            table,
            spellings: spellings.into(),
            wanted: wanted.into(),
        }
    }

    /// What is wanted of a member, by its name in any case.
    #[inline]
    pub(crate) fn wanted(&self, name: &str) -> Option<&Wanted> {
        let hash = hash(name.as_bytes());
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let (known, entry) = self.table[at];
            if entry == 0 {
                return None;
            }
            if known == hash {
                let (spelling, wanted) = &self.spellings[usize::from(entry) - 1];
                if **spelling == *name || spelling.eq_ignore_ascii_case(name) {
                    return Some(&self.wanted[usize::from(*wanted)]);
                }
            }
            at = (at + 1) & mask;
        }
    }
}

fn hash_table(spellings: &[(Box<str>, u16)]) -> Box<[(u32, u16)]> {
    let size = (spellings.len() * 4).next_power_of_two().max(4);
    let mut table = vec![(0, 0); size];
    for (index, (name, _)) in spellings.iter().enumerate() {
        let hash = hash(name.as_bytes());
        let mut at = hash as usize & (size - 1);
        while table[at].1 != 0 {
            at = (at + 1) & (size - 1);
        }
        table[at] = (hash, index as u16 + 1);
    }
    table.into()
}

/// A hash that does not see the case of letters: of the length and the first and last eight bytes.
#[inline]
fn hash(name: &[u8]) -> u32 {
    const FOLD: u64 = 0x2020_2020_2020_2020;
    const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
    let (first, last) = edges(name);
    let mixed =
        (first | FOLD).wrapping_mul(MIX).rotate_left(23) ^ (last | FOLD) ^ (name.len() as u64);
    (mixed.wrapping_mul(MIX) >> 32) as u32
}

/// The first and the last eight bytes, which overlap in short names; fewer if there are no more.
#[inline]
fn edges(name: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        return (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        return (
            u32::from_le_bytes(*first).into(),
            u32::from_le_bytes(*last).into(),
        );
    }
    let byte = |byte: Option<&u8>| byte.copied().unwrap_or_default().into();
    (byte(name.first()), byte(name.last()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_by_their_aliases() {
        let aliases = vec![("IoaDefinitionId".into(), vec!["IoaDefinitiondId".into()])];
        let mut scopes = Scopes::new(aliases);
        let id = scopes.path(ROOT, &["id"]);
        let sha1 = scopes.path(ROOT, &["fileDetails", "sha1"]);
        let again = scopes.path(ROOT, &["FileDetails", "SHA1"]);
        let ioa = scopes.path(ROOT, &["IoaDefinitionId"]);
        assert_eq!((id.slot, sha1, ioa.slot), (1, again, 3));
        let shapes = scopes.finish();
        let level = &shapes[0].names;
        assert_eq!(level.wanted("ID").and_then(|wanted| wanted.slot), Some(1));
        assert_eq!(
            level
                .wanted("ioadefinitiondid")
                .and_then(|wanted| wanted.slot),
            Some(3)
        );
        assert!(level.wanted("identity").is_none());
        let below = level
            .wanted("filedetails")
            .and_then(|wanted| wanted.below.as_ref());
        let below = below.expect("names below");
        assert_eq!(below.wanted("sha1").and_then(|wanted| wanted.slot), Some(2));
        assert!(below.wanted("").is_none());
    }
}
