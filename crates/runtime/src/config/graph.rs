//! The topology check: what is wrong between components, and in which order they come.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tapline_core::{BuildContext, ComponentKind, ComponentName};
use tapline_spool::{Spool, SpoolSettings};

use super::components::{AnyFactory, Component};
use super::mistake::Mistake;
use super::words::nearest;
use crate::topology::{Node, Print, Topology};

/// Checks how components hang together; they come in the order of the file.
pub(crate) fn check(components: &[Component], mistakes: &mut Vec<Mistake>) {
    let mut checker = Checker {
        components,
        by_id: HashMap::new(),
        // A component whose name was mistyped somewhere is not also unread.
        read: HashSet::new(),
        mistakes,
    };
    checker.ids();
    for component in components {
        checker.inputs(component);
    }
    checker.cycles();
    checker.unread();
    checker.ends();
    checker.transactions();
}

struct Checker<'a> {
    components: &'a [Component],
    by_id: HashMap<&'a str, &'a Component>,
    read: HashSet<&'a str>,
    mistakes: &'a mut Vec<Mistake>,
}

impl<'a> Checker<'a> {
    fn ids(&mut self) {
        for component in self.components {
            match self.by_id.get(&*component.id) {
                Some(first) => {
                    let message = format!(
                        "two components are named {}, the other is {} in line {}",
                        component.id,
                        first.path(),
                        first.position.line
                    );
                    self.report(component, message);
                }
                None => {
                    self.by_id.insert(&component.id, component);
                }
            }
        }
    }

    fn inputs(&mut self, component: &'a Component) {
        if component.kind == ComponentKind::Source {
            return;
        }
        let Some(inputs) = &component.inputs else {
            return;
        };
        if inputs.is_empty() {
            let message = "has no inputs; name the components whose events it takes";
            self.report(component, message.to_owned());
        }
        let mut seen = HashSet::new();
        for (index, (input, at)) in inputs.iter().enumerate() {
            let message = if seen.insert(input) {
                self.input(component, input)
            } else {
                Some(format!("{input} is named twice"))
            };
            if let Some(message) = message {
                let path = format!("{}.inputs[{index}]", component.path());
                self.mistakes.push(Mistake::at(*at, path, message));
            }
        }
    }

    /// What is wrong with one input.
    fn input(&mut self, component: &'a Component, input: &'a str) -> Option<String> {
        if input == &*component.id {
            // Another component of the same name may have been meant; that is reported already.
            self.read.insert(input);
            return Some("a component cannot be its own input".to_owned());
        }
        match self.by_id.get(input) {
            Some(found) if found.kind == ComponentKind::Sink => {
                Some(format!("{input} is a sink, which passes nothing on"))
            }
            Some(_) => {
                self.read.insert(input);
                None
            }
            None => Some(self.dangling(component, input)),
        }
    }

    fn dangling(&mut self, component: &Component, input: &str) -> String {
        let readable = self.components.iter().filter(|candidate| {
            candidate.kind != ComponentKind::Sink && candidate.id != component.id
        });
        let known: Vec<&'a str> = readable.map(|candidate| &*candidate.id).collect();
        match nearest(input, known.iter().copied()) {
            Some(near) => {
                self.read.insert(near);
                format!("no component is named {input}; did you mean {near}?")
            }
            None => format!(
                "no component is named {input}; known are {}",
                known.join(", ")
            ),
        }
    }

    fn cycles(&mut self) {
        let mut reported = HashSet::new();
        for component in self.components {
            let Some(cycle) = self.cycle_from(component) else {
                continue;
            };
            let mut members: Vec<&str> = cycle.clone();
            members.sort_unstable();
            if reported.insert(members) {
                let shown: Vec<&str> = cycle.iter().chain(cycle.first()).copied().collect();
                let message = format!("events would go in a circle: {}", shown.join(" -> "));
                self.report(component, message);
            }
        }
    }

    /// The shortest way of an event from a transform back to itself, in flow order.
    fn cycle_from(&self, start: &'a Component) -> Option<Vec<&'a str>> {
        let mut came_from = HashMap::<&str, &'a str>::new();
        let mut queue = std::collections::VecDeque::from([&*start.id]);
        while let Some(id) = queue.pop_front() {
            for reader in self.readers_of(id) {
                if *reader.id == *start.id && id != &*start.id {
                    return Some(trace(&start.id, id, &came_from));
                }
                if *reader.id != *start.id && !came_from.contains_key(&*reader.id) {
                    came_from.insert(&reader.id, id);
                    queue.push_back(&reader.id);
                }
            }
        }
        None
    }

    fn readers_of(&self, id: &'a str) -> impl Iterator<Item = &'a Component> {
        let transforms = self.components.iter();
        transforms.filter(move |component| {
            let mut inputs = component.inputs.iter().flatten();
            component.kind == ComponentKind::Transform && inputs.any(|(input, _)| &**input == id)
        })
    }

    fn unread(&mut self) {
        for component in self.components {
            let is_first = std::ptr::eq(self.by_id[&*component.id], component);
            if is_first
                && component.kind != ComponentKind::Sink
                && !self.read.contains(&*component.id)
            {
                let message = "nobody reads it; name it in the inputs of a transform or sink";
                self.report(component, message.to_owned());
            }
        }
    }

    fn ends(&mut self) {
        for kind in [ComponentKind::Source, ComponentKind::Sink] {
            if self
                .components
                .iter()
                .all(|component| component.kind != kind)
            {
                let kind = kind.as_str();
                let message = format!("a pipeline needs at least one {kind} under {kind}s:");
                self.mistakes.push(Mistake::of_file(message));
            }
        }
    }

    /// What cannot become durable together with its cursor.
    fn transactions(&mut self) {
        let sinks = self.components.iter().filter(|it| it.is_transactional());
        let mut first_of: HashMap<&str, &Component> = HashMap::new();
        for sink in sinks {
            if sink.spool.is_some() {
                let message = "exactly_once and spool exclude each other: what is spooled has left \
                               its source, so that no transaction can hold both; leave one of them out";
                self.report(sink, message.to_owned());
            }
            for source in self.sources_of(sink) {
                let Some(first) = first_of.insert(&source.id, sink) else {
                    continue;
                };
                let message = format!(
                    "source {} leads to two sinks with exactly_once, the other is {}: its cursor can \
                     stand in one transaction only; read it by two sources, or leave exactly_once out \
                     of one",
                    source.id, first.id
                );
                self.report(sink, message);
            }
        }
    }

    /// The sources whose events reach a component.
    fn sources_of(&self, start: &'a Component) -> Vec<&'a Component> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        let mut queue = vec![start];
        while let Some(component) = queue.pop() {
            if !seen.insert(&*component.id) {
                continue;
            }
            if component.kind == ComponentKind::Source {
                found.push(component);
            }
            let inputs = component.inputs.iter().flatten();
            queue.extend(inputs.filter_map(|(input, _)| self.by_id.get(&**input)));
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found
    }

    fn report(&mut self, component: &Component, message: String) {
        let mistake = Mistake::at(component.position, component.path(), message);
        self.mistakes.push(mistake);
    }
}

fn trace<'a>(start: &'a str, end: &'a str, came_from: &HashMap<&str, &'a str>) -> Vec<&'a str> {
    let mut way = vec![end];
    while let Some(before) = way.last().and_then(|id| came_from.get(id)) {
        way.push(before);
    }
    way.reverse();
    debug_assert_eq!(way.first(), Some(&start));
    way
}

/// Puts checked components into the order of their inputs.
pub(crate) fn arrange(components: Vec<Component>) -> Topology {
    let mut topology = Topology::default();
    let mut placed = HashSet::new();
    let mut waiting = components;
    while !waiting.is_empty() {
        let (ready, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|component| {
            let mut inputs = component.inputs.iter().flatten();
            inputs.all(|(input, _)| placed.contains(input))
        });
        if ready.is_empty() {
            // Only a cycle leads here, and check() has refused those.
            break;
        }
        placed.extend(ready.iter().map(|component| Arc::clone(&component.id)));
        for component in ready {
            place(component, &mut topology);
        }
        waiting = later;
    }
    topology
}

fn place(mut component: Component, topology: &mut Topology) {
    let Some(built) = component.built.take() else {
        return;
    };
    let name = component.name(built.type_name);
    let print = component.print;
    let inputs = component.inputs.into_iter().flatten();
    let inputs = inputs.map(|(input, _)| input).collect();
    match built.factory {
        AnyFactory::Source(build) => topology.sources.push(Node {
            name,
            inputs,
            build,
            print,
        }),
        AnyFactory::Transform(build) => topology.transforms.push(Node {
            name,
            inputs,
            build,
            print,
        }),
        AnyFactory::Sink(build) => {
            let inputs = match component.spool {
                Some((settings, print)) => place_spool(&name.id, settings, print, inputs, topology),
                None => inputs,
            };
            topology.sinks.push(Node {
                name,
                inputs,
                build,
                print,
            });
        }
        AnyFactory::Transactional(build) => topology.transactional.push(Node {
            name,
            inputs,
            build,
            print,
        }),
    }
}

/// Puts a queue on disk in front of a sink: what the sink reads from then on.
fn place_spool(
    sink: &Arc<str>,
    settings: SpoolSettings,
    print: Print,
    inputs: Vec<Arc<str>>,
    topology: &mut Topology,
) -> Vec<Arc<str>> {
    // No component of a file has a colon in its name.
    let name = |kind, word| ComponentName {
        kind,
        type_name: "spool",
        id: format!("{sink}:{word}").into(),
    };
    let spool = Spool::new(Arc::clone(sink), settings);
    let (intake, feed) = (spool.clone(), spool);
    let source = name(ComponentKind::Source, "spooled");
    let output = Arc::clone(&source.id);
    topology.sinks.push(Node {
        name: name(ComponentKind::Sink, "spool"),
        inputs,
        build: Arc::new(move |cx: &BuildContext| intake.sink(cx)),
        print,
    });
    topology.sources.push(Node {
        name: source,
        inputs: Vec::new(),
        build: Arc::new(move |cx: &BuildContext| feed.source(cx)),
        print,
    });
    vec![output]
}
