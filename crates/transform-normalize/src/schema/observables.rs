//! Observables: the addresses, names, and hashes of an event once more, in one list.

use super::coerce::write_number;
use super::plan::Observable;
use super::write::Writer;

/// How many observables an event lists at most, so that its size stays bounded.
const MOST: usize = 64;

/// How many arrays deep an observable may stand.
const DEPTH: usize = 4;

/// One value that was written and is to be listed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observed {
    /// Index into the plan's observables.
    observable: u16,
    indices: [u32; DEPTH],
    /// Where the value stands in the output, with its quotes.
    start: usize,
    end: usize,
}

/// The types of observables, by attribute and type of the schema: (attribute, schema type, id,
/// caption). An empty attribute stands for any.
///
/// Source: the dictionary types of OCSF 1.8.0; which of them are worth listing is our choice.
const KINDS: &[(&str, &str, u8, &str)] = &[
    ("", "hostname_t", 1, "Hostname"),
    ("", "ip_t", 2, "IP Address"),
    ("", "mac_t", 3, "MAC Address"),
    ("", "username_t", 4, "User Name"),
    ("email_addr", "email_t", 5, "Email Address"),
    ("from", "email_t", 5, "Email Address"),
    ("to", "email_t", 5, "Email Address"),
    ("url_string", "url_t", 6, "URL String"),
    ("", "file_name_t", 7, "File Name"),
    ("", "file_hash_t", 8, "Hash"),
    ("", "process_name_t", 9, "Process Name"),
    ("uid", "resource_uid_t", 10, "Resource UID"),
    ("cmd_line", "string_t", 13, "Command Line"),
    ("user_agent", "string_t", 16, "HTTP User-Agent"),
    ("message_uid", "string_t", 42, "Message UID"),
    ("", "file_path_t", 45, "File Path"),
    ("", "reg_key_path_t", 46, "Registry Key Path"),
];

/// The same for attributes that only count inside of one object: (object, attribute, ..).
const KINDS_OF_OBJECTS: &[(&str, &str, u8, &str)] = &[
    ("user", "uid", 31, "User Object: uid"),
    ("email", "subject", 40, "Email Object: subject"),
    ("device", "uid", 47, "Device Object: uid"),
];

/// Parts of an event whose values are not listed.
const NOT_IN: [&str; 4] = ["metadata", "unmapped", "finding_info", "finding_info_list"];

/// The observable that an attribute at a path is, if it is one. `path` has `[]` for each array.
pub(super) fn observable(
    path: &str,
    object: &str,
    attribute: &str,
    type_name: &str,
) -> Option<Observable> {
    let top = path.split(['.', '[']).next().unwrap_or(path);
    if NOT_IN.contains(&top) {
        return None;
    }
    let of_object = KINDS_OF_OBJECTS
        .iter()
        .find(|(known, name, ..)| *known == object && *name == attribute);
    let by_type = |(name, known, ..): &&(&str, &str, u8, &str)| {
        *known == type_name && (name.is_empty() || *name == attribute)
    };
    let (.., type_id, caption) = of_object.or_else(|| KINDS.iter().find(by_type))?;
    let pieces: Vec<Box<str>> = path.split("[]").map(Box::from).collect();
    (pieces.len() <= DEPTH + 1).then(|| Observable {
        path: pieces,
        middle: format!("\",\"type_id\":{type_id},\"type\":\"{caption}\",\"value\":")
            .into_bytes()
            .into(),
        type_id: *type_id,
    })
}

impl Writer<'_, '_> {
    /// Notes that the value written since `start` is an observable.
    pub(super) fn observe(&mut self, observable: u16, start: usize) {
        let mut indices = [0; DEPTH];
        for (place, index) in indices.iter_mut().zip(&self.scratch.indices) {
            *place = *index;
        }
        let end = self.out.len();
        self.scratch.observed.push(Observed {
            observable,
            indices,
            start,
            end,
        });
    }

    /// Writes `,"observables":[..]`, each value of a type once.
    pub(super) fn observables(&mut self) {
        let mut listed = 0;
        for index in 0..self.scratch.observed.len() {
            if listed == MOST {
                break;
            }
            if self.is_repeated(index) {
                continue;
            }
            self.out.extend_from_slice(if listed == 0 {
                b",\"observables\":["
            } else {
                b","
            });
            self.write_observable(self.scratch.observed[index]);
            listed += 1;
        }
        if listed > 0 {
            self.out.push(b']');
        }
    }

    fn is_repeated(&self, index: usize) -> bool {
        let kind = |one: &Observed| self.plan.observables[usize::from(one.observable)].type_id;
        let this = &self.scratch.observed[index];
        let value = &self.out[this.start..this.end];
        let same = |one: &Observed| {
            one.end - one.start == value.len()
                && kind(one) == kind(this)
                && &self.out[one.start..one.end] == value
        };
        self.scratch.observed[..index].iter().any(same)
    }

    fn write_observable(&mut self, observed: Observed) {
        let observable = &self.plan.observables[usize::from(observed.observable)];
        self.out.extend_from_slice(b"{\"name\":\"");
        for (place, piece) in observable.path.iter().enumerate() {
            if place > 0 {
                self.out.push(b'[');
                write_number(i64::from(observed.indices[place - 1]), self.out);
                self.out.push(b']');
            }
            self.out.extend_from_slice(piece.as_bytes());
        }
        self.out.extend_from_slice(&observable.middle);
        self.out.extend_from_within(observed.start..observed.end);
        self.out.push(b'}');
    }
}
