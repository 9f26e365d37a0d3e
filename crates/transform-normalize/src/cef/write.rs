//! Writes one record as CEF, by a plan.

use std::net::IpAddr;

use bytes::Bytes;

use crate::engine::{Expr, Got, Run};
use crate::json::{NodeId, NodeKind};
use crate::time::millis;

use super::dictionary::Holds;
use super::line::{Line, Losses, TooLong};
use super::output_key::OutputKey;
use super::plan::{CefPlan, From, Rule};

/// Memory that is reused from record to record.
#[derive(Debug, Default)]
pub(crate) struct CefWriter {
    line: Line,
    /// Text put together from several values, and copies of text while the record is read on.
    joined: String,
    class_id: String,
    name: String,
}

impl CefWriter {
    /// Writes a record that has been read.
    ///
    /// # Errors
    /// [`TooLong`] if the line does not fit even without its optional keys.
    pub(crate) fn write(&mut self, plan: &CefPlan, run: &mut Run<'_>) -> Result<Bytes, TooLong> {
        header_text(run, &plan.class_id, &mut self.class_id);
        match &plan.title {
            Some(title) => {
                header_text(run, &title.name, &mut self.name);
                let severity = severity(run, &title.severity);
                self.line
                    .start(&plan.prefix, &self.class_id, &self.name, severity);
            }
            None => self.line.start_leef(&plan.prefix, &self.class_id),
        }
        for rule in &plan.rules {
            self.apply(rule, run);
        }
        if let Some(raw) = &plan.raw {
            self.line.text(raw, run.body);
        }
        self.line.finish(plan.max_bytes)
    }

    /// What the last line lacks.
    pub(crate) fn losses(&self) -> Losses {
        self.line.losses()
    }

    fn apply(&mut self, rule: &Rule, run: &mut Run<'_>) {
        let line = &self.line;
        let taken = line.has(rule.key.id) || rule.unless.iter().any(|id| line.has(*id));
        if taken || rule.when.as_ref().is_some_and(|when| !run.holds(when)) {
            return;
        }
        match &rule.from {
            From::Value(expr) => {
                let got = run.get(expr);
                self.put(rule, run, got);
            }
            From::List(values) => self.put_list(rule, run, values),
            From::Count(path) => {
                if let Some(list) = run.find_list(*path) {
                    let count = run.tape.children(list).count();
                    self.line
                        .integer(&rule.key, i64::try_from(count).unwrap_or(i64::MAX));
                }
            }
        }
    }

    fn put(&mut self, rule: &Rule, run: &mut Run<'_>, got: Got) {
        if got == Got::Nothing {
            return;
        }
        let fits = match rule.key.holds {
            Holds::Text(_) => return self.put_text(rule, run, got),
            Holds::Integer => self.put_number(
                &rule.key,
                run,
                got,
                i64::from(i32::MIN)..=i64::from(i32::MAX),
            ),
            Holds::Long => self.put_number(&rule.key, run, got, i64::MIN..=i64::MAX),
            Holds::Port => self.put_number(&rule.key, run, got, 0..=i64::from(u16::MAX)),
            Holds::Level => self.put_number(&rule.key, run, got, 1..=10),
            Holds::Time | Holds::Date => self.put_time(&rule.key, run, got),
            Holds::Ipv4 | Holds::Ipv6 | Holds::Ip => self.put_address(&rule.key, run, got),
            Holds::Double => self.put_checked(&rule.key, run, got, is_finite),
            Holds::Mac => self.put_mac(&rule.key, run, got),
        };
        if !fits {
            self.line.unfit();
        }
    }

    fn put_text(&mut self, rule: &Rule, run: &mut Run<'_>, got: Got) {
        if let Got::Node(node) = got
            && run.tape.node(node).kind == NodeKind::Array
        {
            self.joined.clear();
            join_node(run, node, &mut self.joined);
            return self.put_joined(rule);
        }
        match run.got_text(got) {
            Some(text) => write_text(&mut self.line, rule, run.str(text)),
            None => self.line.unfit(),
        }
    }

    fn put_list(&mut self, rule: &Rule, run: &mut Run<'_>, values: &[Expr]) {
        self.joined.clear();
        for value in values {
            if let Got::Node(node) = run.get(value) {
                join_node(run, node, &mut self.joined);
            }
        }
        self.put_joined(rule);
    }

    fn put_joined(&mut self, rule: &Rule) {
        write_text(&mut self.line, rule, &self.joined);
    }

    fn put_number(
        &mut self,
        key: &OutputKey,
        run: &mut Run<'_>,
        got: Got,
        range: std::ops::RangeInclusive<i64>,
    ) -> bool {
        let number = number_of(run, got).filter(|number| range.contains(number));
        number
            .map(|number| self.line.integer(key, number))
            .is_some()
    }

    fn put_time(&mut self, key: &OutputKey, run: &mut Run<'_>, got: Got) -> bool {
        let text = run.got_text(got);
        let time = text.and_then(|text| millis(run.str(text).trim()));
        match time {
            Some(time) if key.holds == Holds::Date => self.line.date(key, time),
            Some(time) => {
                self.line.integer(key, time);
                true
            }
            None => false,
        }
    }

    /// Takes the first address of the key's family from a text, a list in a text, or a list.
    fn put_address(&mut self, key: &OutputKey, run: &mut Run<'_>, got: Got) -> bool {
        self.joined.clear();
        match got {
            Got::Node(node) => join_node(run, node, &mut self.joined),
            got => {
                if let Some(text) = run.got_text(got) {
                    self.joined.push_str(run.str(text));
                }
            }
        }
        let mut addresses = addresses(&self.joined);
        let wanted = |address: &IpAddr| match key.holds {
            Holds::Ipv4 => address.is_ipv4(),
            Holds::Ipv6 => address.is_ipv6(),
            _ => true,
        };
        let found_any = addresses.clone().next().is_some();
        if let Some(address) = addresses.find(wanted) {
            self.line.address(key, address);
        }
        // An address of the other family is no mistake: another rule takes it.
        found_any
    }

    fn put_mac(&mut self, key: &OutputKey, run: &mut Run<'_>, got: Got) -> bool {
        let Some(text) = run.got_text(got) else {
            return false;
        };
        let found = mac(run.str(text).trim());
        if let Some(found) = found.as_ref().and_then(|mac| std::str::from_utf8(mac).ok()) {
            self.line.text(key, found);
        }
        found.is_some()
    }

    fn put_checked(
        &mut self,
        key: &OutputKey,
        run: &mut Run<'_>,
        got: Got,
        is_right: fn(&str) -> bool,
    ) -> bool {
        let Some(text) = run.got_text(got) else {
            return false;
        };
        let text = run.str(text).trim();
        if is_right(text) {
            self.line.text(key, text);
            return true;
        }
        false
    }
}

/// Six pairs of digits with colons, from pairs with `:` or `-` or from twelve digits.
fn mac(text: &str) -> Option<[u8; 17]> {
    let bytes = text.as_bytes();
    let step = match bytes.len() {
        17 => 3,
        12 => 2,
        _ => return None,
    };
    let mut mac = [b':'; 17];
    for (index, pair) in bytes.chunks(step).enumerate() {
        let separated = pair.get(2).is_none_or(|end| matches!(end, b':' | b'-'));
        if !separated || !pair[..2].iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        mac[index * 3..index * 3 + 2].copy_from_slice(&pair[..2]);
    }
    Some(mac)
}

/// Writes text, and once more whole where the mapping says so and the key was too short for it.
fn write_text(line: &mut Line, rule: &Rule, text: &str) {
    if line.text(&rule.key, text)
        && let Some(whole) = &rule.whole_in
    {
        line.text(whole, text);
    }
}

/// The first of the expressions that yields text, else the event's kind.
fn header_text(run: &mut Run<'_>, all: &[Expr], out: &mut String) {
    out.clear();
    for expr in all {
        if let Some(text) = run.get_text(expr) {
            out.push_str(super::escape::trimmed(run.str(text)));
        }
        if !out.is_empty() {
            return;
        }
    }
    out.push_str(run.meta.kind.as_str());
}

/// CEF's severity 0..10; what is no such number is 0, unknown.
fn severity(run: &mut Run<'_>, expr: &Expr) -> u8 {
    match run.get(expr) {
        Got::Int(number) => u8::try_from(number).unwrap_or(0),
        _ => 0,
    }
}

/// Appends the scalars of a value, lists opened, with commas between.
fn join_node(run: &mut Run<'_>, node: NodeId, out: &mut String) {
    let end = run.tape.node(node).next;
    let mut at = node;
    while at < end {
        let value = *run.tape.node(at);
        if value.kind != NodeKind::Object
            && !value.dropped()
            && !run.tape.is_empty(at)
            && let Some(text) = run.text_of(at)
        {
            if !out.is_empty() {
                out.push(',');
            }
            out.push_str(run.str(text));
        }
        at = match value.kind {
            NodeKind::Array if !value.dropped() => at + 1,
            _ => value.next,
        };
    }
}

fn number_of(run: &mut Run<'_>, got: Got) -> Option<i64> {
    match got {
        Got::Int(number) => Some(number),
        Got::Bool(truth) => Some(i64::from(truth)),
        Got::Node(node) if run.tape.node(node).kind == NodeKind::True => Some(1),
        Got::Node(node) if run.tape.node(node).kind == NodeKind::False => Some(0),
        got => {
            let text = run.got_text(got)?;
            run.str(text).trim().parse().ok()
        }
    }
}

/// The addresses in a text list; IPv4 written as IPv6 is IPv4.
fn addresses(list: &str) -> impl Iterator<Item = IpAddr> + Clone + '_ {
    let pieces = list.split([',', ';', ' ']).map(str::trim);
    pieces
        .filter_map(|piece| piece.parse::<IpAddr>().ok())
        .map(|address| address.to_canonical())
}

fn is_finite(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_lists_of_any_separator() {
        let check = |list, expected: &[&str]| {
            let found: Vec<String> = addresses(list).map(|address| address.to_string()).collect();
            assert_eq!(found, expected, "{list}");
        };
        check(
            "192.0.2.1, 192.0.2.2;192.0.2.3",
            &["192.0.2.1", "192.0.2.2", "192.0.2.3"],
        );
        check("::ffff:198.51.100.9", &["198.51.100.9"]);
        check("no address;fe80::1", &["fe80::1"]);
        check("192.0.2.256", &[]);
    }

    #[test]
    fn a_mac_address_has_six_bytes() {
        let check = |text, expected: Option<&str>| {
            let found = mac(text).map(|mac| String::from_utf8(mac.to_vec()).expect("text"));
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("00:11:22:aa:BB:cc", Some("00:11:22:aa:BB:cc"));
        check("00-11-22-aa-BB-cc", Some("00:11:22:aa:BB:cc"));
        check("001122aaBBcc", Some("00:11:22:aa:BB:cc"));
        check("00:11:22:aa:BB", None);
        check("00:11:22:aa:BB:c=", None);
        check("00=11:22:aa:BB:cc", None);
        check("00:11:22:aa:BB:é", None);
    }
}
