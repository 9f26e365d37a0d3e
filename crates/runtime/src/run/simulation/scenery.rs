//! The pipeline that is simulated: a source, a transform, and two sinks, one on each.

use std::collections::HashMap;
use std::sync::Arc;

use tapline_core::{
    BuildContext, BuildError, ComponentKind, ComponentName, Event, Kind, Metadata, Output, Sink,
    Transform,
};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::microsoft::{Branches, Fate, LAKE, LAKE_TWIN, Row, SIEM};
use crate::run::flow::{Entrance, Flow, Plan};
use crate::topology::{Node, Print, Topology};

pub(super) const SOURCE: &str = "alerts";
pub(super) const TRANSFORM: &str = "ocsf";
/// The sinks' ids, in the order of the topology.
pub(super) const SINKS: [&str; 2] = ["lake", "siem"];

/// Made once for all seeds.
pub(super) struct Scenery {
    topology: Topology,
    contexts: HashMap<Arc<str>, BuildContext>,
    _folder: TempDir,
}

impl Scenery {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let transform = Node::<dyn Transform> {
            name: name(ComponentKind::Transform, TRANSFORM),
            print: Print::default(),
            inputs: vec![SOURCE.into()],
            build: Arc::new(|_| Ok(Box::new(Mapper))),
        };
        let [lake, siem] = SINKS;
        let cx = tapline_testkit::build_context(
            ComponentKind::Transform,
            "fake",
            TRANSFORM,
            folder.path(),
        );
        Self {
            topology: Topology {
                transforms: vec![transform],
                sinks: vec![sink(lake, TRANSFORM), sink(siem, SOURCE)],
                ..Topology::default()
            },
            contexts: HashMap::from([(Arc::from(TRANSFORM), cx)]),
            _folder: folder,
        }
    }

    /// What the events of a partition go through, up to the sinks' inlets.
    pub(super) fn flow(&self, inlets: &Vec<mpsc::Sender<Vec<Event>>>) -> Flow {
        let entrance = Entrance::Behind(SOURCE);
        Flow::new(Plan::of(entrance, &self.topology, &self.contexts, inlets))
    }
}

fn sink(id: &str, input: &str) -> Node<dyn Sink> {
    Node {
        name: name(ComponentKind::Sink, id),
        print: Print::default(),
        inputs: vec![input.into()],
        build: Arc::new(|_| Err(BuildError::new("", "the simulation plays the sinks"))),
    }
}

pub(super) fn name(kind: ComponentKind, id: &str) -> ComponentName {
    ComponentName {
        kind,
        type_name: "fake",
        id: id.into(),
    }
}

/// What travels as the body of an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body {
    pub(super) row: usize,
    /// Which reading it comes from: a number that is never used twice.
    pub(super) reading: u64,
    twin: bool,
    /// Whether the transform is to forget it, as one with a bug does.
    pub(super) forgotten: bool,
    fate: u8,
}

impl Body {
    pub(super) fn new(row: usize, fate: Fate, reading: u64, forgotten: bool) -> Self {
        Self {
            row,
            reading,
            twin: false,
            forgotten,
            fate: match fate {
                Fate::Unmappable => 1,
                Fate::Filtered => 2,
                Fate::Split => 3,
                _ => 0,
            },
        }
    }

    pub(super) fn event(self, row: &Row) -> Event {
        let kind = Kind::new("graph.alert");
        let tenant = row.partition.to_string();
        let version = row.version.to_string();
        let meta = Metadata::new(kind, tenant, row.record.to_string(), version);
        Event::new(self.encode(), meta)
    }

    pub(super) fn of(event: &Event) -> Self {
        let bytes = event.body();
        let number = |at: usize| {
            let part = bytes[at..at + 8].try_into().expect("eight bytes");
            u64::from_be_bytes(part)
        };
        Self {
            row: usize::try_from(number(0)).expect("a few"),
            reading: number(8),
            twin: bytes[16] == 1,
            forgotten: bytes[17] == 1,
            fate: bytes[18],
        }
    }

    /// What it is owed for at a sink.
    pub(super) fn branch(self, sink: usize) -> Branches {
        match (sink, self.twin) {
            (0, false) => LAKE,
            (0, true) => LAKE_TWIN,
            _ => SIEM,
        }
    }

    fn encode(self) -> Vec<u8> {
        let mut bytes = (self.row as u64).to_be_bytes().to_vec();
        bytes.extend(self.reading.to_be_bytes());
        bytes.extend([u8::from(self.twin), u8::from(self.forgotten), self.fate]);
        bytes
    }
}

/// Does with each event what its body says.
struct Mapper;

impl Transform for Mapper {
    fn apply(&mut self, event: Event, out: &mut Output) {
        let body = Body::of(&event);
        match body.fate {
            _ if body.forgotten => drop(event),
            1 => out.reject(event, "unmappable", "as it was asked"),
            2 => out.discard(event),
            3 => {
                let twin = Body { twin: true, ..body };
                let child = event.child(twin.encode().into());
                out.emit(event);
                out.emit(child);
            }
            _ => out.emit(event),
        }
    }
}
