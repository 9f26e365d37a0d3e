//! What each operation does.

use tapline_core::Metadata;

use super::expr::{Expr, Got, Keep, MetaField, Text};
use super::run::Run;
use super::table::{Otherwise, Table};
use crate::json::Buffer;

impl Run<'_> {
    /// Evaluates an expression.
    ///
    /// A value that is passed on as it is ([`Got::Node`]) is not marked as used: whoever writes it
    /// does that, once it fits. Values that an operation has taken apart are marked here.
    pub(crate) fn get(&mut self, expr: &Expr) -> Got {
        match expr {
            Expr::Nothing => Got::Nothing,
            Expr::Value(path) => self.find(*path).map_or(Got::Nothing, Got::Node),
            Expr::Text(text) => Got::Text(self.make(|made| made.push_str(text))),
            Expr::Int(number) => Got::Int(*number),
            Expr::Bool(truth) => Got::Bool(*truth),
            Expr::First(all) => self.first(all),
            Expr::Cases(cases) => self.cases(cases),
            Expr::Table { from, table } => self.look_up(from, table),
            Expr::Join { parts, with } => self.join(parts, with),
            Expr::Cut { from, at, keep } => self.part(from, |text| cut(text, at, *keep)),
            Expr::Strip { from, prefix } => self.part(from, |text| Some(strip(text, prefix))),
            Expr::Host(from) => self.host(from),
            Expr::Lower(from) => self.lower(from),
            Expr::Piece { from, on, index } => {
                // Only one piece is taken: the list as a whole does not count as used.
                let mark = self.here();
                let got = self.part(from, |text| pieces(text, on).nth(*index));
                self.back_to(mark);
                got
            }
            Expr::LastPart(from) => self.part(from, |path| Some(last_part(path))),
            Expr::FullPath { folder, name } => self.full_path(folder, name),
            Expr::Folder { folder, name } => self.folder(folder, name),
            Expr::End {
                list,
                last,
                scope,
                of,
            } => self.end(*list, *last, *scope, of),
            Expr::Other(of) => self.get_text(of).map_or(Got::Nothing, Got::Other),
            Expr::Meta(field) => self.meta_field(*field),
        }
    }

    /// Evaluates an expression to text and marks what it is of. Of several the first that is text.
    pub(crate) fn get_text(&mut self, expr: &Expr) -> Option<Text> {
        if let Expr::First(all) = expr {
            return all.iter().find_map(|one| self.get_text(one));
        }
        let got = self.get(expr);
        self.got_text(got)
    }

    fn first(&mut self, all: &[Expr]) -> Got {
        let found = |got: &Got| *got != Got::Nothing;
        all.iter()
            .map(|one| self.get(one))
            .find(found)
            .unwrap_or(Got::Nothing)
    }

    fn cases(&mut self, cases: &[(Option<super::Predicate>, Expr)]) -> Got {
        for (when, then) in cases {
            if when.as_ref().is_none_or(|when| self.holds(when)) {
                return self.get(then);
            }
        }
        Got::Nothing
    }

    fn look_up(&mut self, from: &Expr, table: &Table) -> Got {
        let absent = table.absent.map_or(Got::Nothing, Got::Int);
        let mark = self.here();
        let Some(text) = self.get_text(from) else {
            return absent;
        };
        if let Some(id) = table.words.id(self.str(text)) {
            return Got::Int(id);
        }
        match table.otherwise {
            Otherwise::Other => Got::Other(text),
            Otherwise::Id(id) => Got::Int(id),
            Otherwise::Skip => {
                self.back_to(mark);
                absent
            }
        }
    }

    fn join(&mut self, parts: &[Expr], with: &str) -> Got {
        let mut texts = [None; 8];
        for (part, place) in parts.iter().zip(&mut texts) {
            *place = self.get_text(part);
        }
        let start = self.tape.made_len();
        for text in texts.into_iter().flatten() {
            if self.tape.made_len() > start {
                self.tape.made_mut().push_str(with);
            }
            self.append(text);
        }
        self.made_since(start)
    }

    fn made_since(&self, start: u32) -> Got {
        let end = self.tape.made_len();
        if start == end {
            return Got::Nothing;
        }
        Got::Text(Text {
            buffer: Buffer::Made,
            start,
            end,
        })
    }

    /// A part of a text that stands in it as one piece.
    fn part(&mut self, from: &Expr, find: impl FnOnce(&str) -> Option<&str>) -> Got {
        let mark = self.here();
        let Some(text) = self.get_text(from) else {
            return Got::Nothing;
        };
        let whole = self.str(text);
        let range = find(whole)
            .filter(|part| !part.is_empty())
            .map(|part| (part.as_ptr().addr() - whole.as_ptr().addr(), part.len()));
        let Some((offset, length)) = range else {
            self.back_to(mark);
            return Got::Nothing;
        };
        let start = text.start + offset as u32;
        Got::Text(Text {
            buffer: text.buffer,
            start,
            end: start + length as u32,
        })
    }

    /// Only the host is taken: the address as a whole does not count as used, unless it is one.
    fn host(&mut self, from: &Expr) -> Got {
        let mark = self.here();
        let Some(whole) = self.get_text(from) else {
            return Got::Nothing;
        };
        let got = self.part(from, host);
        if let Got::Text(found) = got
            && found != whole
        {
            self.back_to(mark);
        }
        got
    }

    fn lower(&mut self, from: &Expr) -> Got {
        let Some(text) = self.get_text(from) else {
            return Got::Nothing;
        };
        if !self.str(text).bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Got::Text(text);
        }
        let start = self.tape.made_len();
        self.append(text);
        self.tape.made_mut()[start as usize..].make_ascii_lowercase();
        self.made_since(start)
    }

    fn full_path(&mut self, folder: &Expr, name: &Expr) -> Got {
        let (folder, name) = (self.get_text(folder), self.get_text(name));
        let (Some(folder), Some(name)) = (folder, name) else {
            return folder.map_or(Got::Nothing, Got::Text);
        };
        if last_part(self.str(folder)).eq_ignore_ascii_case(self.str(name)) {
            return Got::Text(folder);
        }
        let separator = separator(self.str(folder));
        let bare = self.str(folder).trim_end_matches(separator).len() as u32;
        let start = self.tape.made_len();
        self.append(Text {
            end: folder.start + bare,
            ..folder
        });
        self.tape.made_mut().push(separator);
        self.append(name);
        self.made_since(start)
    }

    fn folder(&mut self, folder: &Expr, name: &Expr) -> Got {
        let (Some(folder), name) = (self.get_text(folder), self.get_text(name)) else {
            return Got::Nothing;
        };
        let path = self.str(folder);
        let last = last_part(path);
        let is_file = name.is_none_or(|name| last.eq_ignore_ascii_case(self.str(name)));
        let kept = if is_file {
            path.len() - last.len()
        } else {
            path.len()
        };
        let kept = path[..kept].trim_end_matches(separator(path)).len() as u32;
        if kept == 0 {
            return Got::Nothing;
        }
        Got::Text(Text {
            end: folder.start + kept,
            ..folder
        })
    }

    fn end(&mut self, list: super::Path, last: bool, scope: super::ScopeId, of: &Expr) -> Got {
        let Some(list) = self.find_list(list) else {
            return Got::Nothing;
        };
        let chosen = {
            let mut elements = self.tape.children(list);
            if last {
                elements.last()
            } else {
                elements.next()
            }
        };
        let Some(chosen) = chosen else {
            return Got::Nothing;
        };
        let opened = self.enter(scope, chosen);
        let got = self.get(of);
        self.leave(opened);
        got
    }

    fn meta_field(&mut self, field: MetaField) -> Got {
        let meta = self.meta;
        let text = self.make(|made| match field {
            MetaField::Tenant if &*meta.tenant == "unknown" => {}
            MetaField::Tenant => made.push_str(&meta.tenant),
            MetaField::Kind => made.push_str(meta.kind.as_str()),
            MetaField::Table => made.push_str(meta.table.as_deref().unwrap_or("")),
            MetaField::Id => made.push_str(&meta.id),
            MetaField::Uid => push_uid(meta, made),
            MetaField::Time => made.push_str(&known_time(meta).to_string()),
        });
        if text.start == text.end {
            return Got::Nothing;
        }
        Got::Text(text)
    }
}

/// The record's identity, as [`Metadata::uid`] has it, without an allocation.
fn push_uid(meta: &Metadata, made: &mut String) {
    for part in [
        &*meta.tenant,
        ":",
        meta.kind.as_str(),
        ":",
        &meta.id,
        ":",
        &meta.version,
    ] {
        made.push_str(part);
    }
}

/// When it happened, unless that is a time such as `0001-01-01`, which stands for "not known" and
/// which no target takes; else when we received it.
fn known_time(meta: &Metadata) -> jiff::Timestamp {
    let plausible = |time: &jiff::Timestamp| {
        (1990..2100).contains(&time.to_zoned(jiff::tz::TimeZone::UTC).year())
    };
    meta.event_time.filter(plausible).unwrap_or(meta.arrival)
}

fn cut<'t>(text: &'t str, at: &str, keep: Keep) -> Option<&'t str> {
    let (before, after) = text.split_once(at)?;
    Some(match keep {
        Keep::Before => before,
        Keep::After => after,
    })
}

/// The host of an address with or without scheme, user, port, and path.
fn host(address: &str) -> Option<&str> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    if let Some(bracketed) = host.strip_prefix('[') {
        return bracketed.split(']').next();
    }
    match host.split_once(':') {
        // More than one colon is an IPv6 address.
        Some((host, port)) if !port.contains(':') => Some(host),
        _ => Some(host),
    }
}

fn strip<'t>(text: &'t str, prefix: &str) -> &'t str {
    match text.split_at_checked(prefix.len()) {
        Some((head, rest)) if head.eq_ignore_ascii_case(prefix) => rest,
        _ => text,
    }
}

/// The pieces of a text list; `on` holds the separators, any of which ends a piece.
pub(super) fn pieces<'t>(text: &'t str, on: &str) -> impl Iterator<Item = &'t str> {
    let pieces = text.split(move |c| on.contains(c));
    pieces.map(str::trim).filter(|piece| !piece.is_empty())
}

/// The last part of a path with `\` or `/`, which may end with a separator.
fn last_part(path: &str) -> &str {
    let trimmed = path.trim_end_matches(['\\', '/']);
    trimmed.rsplit(['\\', '/']).next().unwrap_or(trimmed)
}

/// The separator that a path uses; `\` if it uses none, as Defender is mostly about Windows.
fn separator(path: &str) -> char {
    if path.contains('/') && !path.contains('\\') {
        '/'
    } else {
        '\\'
    }
}
