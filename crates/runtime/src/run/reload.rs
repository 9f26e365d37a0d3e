//! A changed pipeline in place of the one that runs, without stopping what did not change.
//!
//! Everything that can fail comes first: components are built, and transforms tried. Then the ways
//! of the events are exchanged, and components that changed or are gone end beside those that go
//! on. One that takes the place of another begins when that has ended, so that no newer version of
//! a record overtakes an older one between them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tapline_core::{ComponentName, Event, NetworkSettings, Sink, Source};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::build::{AllBuilt, Builder, Built, Inlets};
use super::flow::Plan;
use super::host::Plans;
use super::unit::{Retired, SinkUnit, SourceUnit, Unit};
use super::{Before, BuildFailures, Running, SINK_QUEUE, Setup, Starter};
use crate::status::State;
use crate::topology::{Print, Topology};

/// What may change while a pipeline runs.
pub struct Reload {
    /// The checked graph.
    pub topology: Topology,
    /// Folder of the pipeline file; relative paths in settings start here.
    pub config_dir: PathBuf,
    /// Proxy and trust of the process.
    pub network: NetworkSettings,
    /// How long a drain may take.
    pub shutdown: Duration,
}

/// Why the pipeline runs on as it was.
#[derive(Debug, thiserror::Error)]
pub enum NotReloaded {
    /// Something else than components would have to change; one line each.
    #[error("{}", .0.join("\n"))]
    Fixed(Vec<String>),
    /// What components' settings name cannot be used.
    #[error("{0}")]
    Build(BuildFailures),
}

/// What a reload changed.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Reloaded {
    /// Components that were not there before.
    pub started: Vec<String>,
    /// Components whose settings changed: built anew on the same checkpoints.
    pub replaced: Vec<String>,
    /// Components that are gone.
    pub stopped: Vec<String>,
    /// Sources and sinks that go on as they were.
    pub kept: Vec<String>,
    /// Those of the replaced and stopped ones that did not settle everything in time; what was left
    /// is read again.
    pub not_drained: Vec<String>,
}

/// A reload that was begun: what is to end has yet to.
pub struct Reloading {
    reloaded: Reloaded,
    reports: Vec<oneshot::Receiver<Retired>>,
}

impl Reloading {
    /// Waits until everything that was replaced or stopped has ended.
    pub async fn finished(self) -> Reloaded {
        let mut reloaded = self.reloaded;
        for report in self.reports {
            // Without a report the pipeline itself was stopped meanwhile.
            if let Ok(Retired { name, drained }) = report.await
                && !drained
            {
                reloaded.not_drained.push(name.to_string());
            }
        }
        reloaded
    }
}

/// Everything new, built and tried.
struct Prepared {
    setup: Setup,
    sinks: Vec<(ComponentName, Way)>,
    inlets: Inlets,
    sources: HashMap<Arc<str>, Built<dyn Source>>,
    plans: HashMap<Arc<str>, Plan>,
    replay: Option<Built<dyn Source>>,
    replay_plans: Plans,
}

/// How a sink of the new topology comes about.
enum Way {
    Kept,
    New(Box<Built<dyn Sink>>, mpsc::Receiver<Vec<Event>>),
}

impl Running {
    /// Puts a changed topology in place of the one that runs. Waits for nothing: what has to end
    /// does so beside what goes on.
    ///
    /// # Errors
    /// [`NotReloaded`]: then everything runs on as it was.
    pub fn reload(&mut self, new: Reload) -> Result<Reloading, NotReloaded> {
        if self.setup.backfill.is_some() {
            let line = "a backfill takes no changed file; stop it, and start it again".to_owned();
            return Err(NotReloaded::Fixed(vec![line]));
        }
        self.check_transactions(&new.topology)?;
        self.check_spools(&new.topology)?;
        let prepared = self.prepare(new).map_err(NotReloaded::Build)?;
        Ok(self.put_in_place(prepared))
    }

    /// Where cursors are kept at the destination, who reads what is decided there.
    fn check_transactions(&self, new: &Topology) -> Result<(), NotReloaded> {
        let old = self.setup.topology.transactional.iter();
        let sinks: BTreeSet<_> = old
            .chain(&new.transactional)
            .map(|it| &it.name.id)
            .collect();
        let told = sinks.iter().map(|sink| {
            format!("sinks.{sink} is exactly_once: such a pipeline takes no changed file while it runs; restart it for that")
        });
        match sinks.is_empty() {
            true => Ok(()),
            false => Err(NotReloaded::Fixed(told.collect())),
        }
    }

    /// A queue on disk belongs to one process and one pair of components at a time.
    fn check_spools(&self, new: &Topology) -> Result<(), NotReloaded> {
        let (old, new) = (spools(&self.setup.topology), spools(new));
        let changed: BTreeSet<Arc<str>> = old
            .iter()
            .chain(&new)
            .filter(|(sink, print)| old.get(*sink) != Some(print) || new.get(*sink) != Some(print))
            .map(|(sink, _)| Arc::clone(sink))
            .collect();
        let told = changed.iter().map(|sink| {
            format!("sinks.{sink}.spool cannot change while the pipeline runs; restart it for that")
        });
        match changed.is_empty() {
            true => Ok(()),
            false => Err(NotReloaded::Fixed(told.collect())),
        }
    }

    fn is_kept(&self, name: &ComponentName, print: Print) -> bool {
        let sources = self.sources.iter().map(|it| &it.unit);
        let sinks = self.sinks.iter().map(|it| &it.unit);
        let mut units = sources.chain(sinks);
        units.any(|unit| unit.name == *name && unit.print == print)
    }

    fn prepare(&self, new: Reload) -> Result<Prepared, BuildFailures> {
        let setup = self.setup.changed(new);
        let builder = Builder::new(&setup);
        let AllBuilt { sinks, sources, .. } =
            builder.build(|name, print| !self.is_kept(name, print))?;
        let mut built: HashMap<Arc<str>, Built<dyn Sink>> = by_id(sinks);
        let mut ways = Vec::new();
        let mut inlets = Inlets::new();
        for node in &setup.topology.sinks {
            let (way, inlet) = match built.remove(&node.name.id) {
                Some(built) => {
                    let (inlet, inbox) = mpsc::channel(SINK_QUEUE);
                    (Way::New(Box::new(built), inbox), inlet)
                }
                None => (Way::Kept, self.inlet(&node.name)),
            };
            ways.push((node.name.clone(), way));
            inlets.push(inlet);
        }
        let contexts = builder.transform_contexts();
        let plans = builder.plans(&contexts, &inlets)?;
        let replay_plans = builder.replay_plans(&contexts, &inlets);
        let ids = setup.topology.ids();
        let same = is_same(&ids, &self.setup.topology.ids());
        let replay = (!same).then(|| builder.replay(&setup.data_dir, ids));
        Ok(Prepared {
            sources: by_id(sources),
            sinks: ways,
            inlets,
            plans,
            replay,
            replay_plans,
            setup,
        })
    }

    fn inlet(&self, name: &ComponentName) -> mpsc::Sender<Vec<Event>> {
        let kept = self.sinks.iter().find(|it| it.unit.name == *name);
        let kept = kept.expect("who is not built is kept");
        kept.inlet.clone()
    }

    /// Nothing in here can fail.
    fn put_in_place(&mut self, new: Prepared) -> Reloading {
        let mut change = Change {
            starter: Starter {
                engine: Arc::clone(&self.engine),
                // None of those is part of a reload.
                transactional: Vec::new(),
                dead_letters: self.dead_letters.clone(),
                budget: self.budget.clone(),
                ends_refused: false,
                unfinished: Arc::default(),
            },
            deadline: Instant::now() + new.setup.shutdown,
            reloading: Reloading {
                reloaded: Reloaded::default(),
                reports: Vec::new(),
            },
        };
        self.show(&new.setup.topology);
        self.exchange_sinks(new.sinks, new.inlets, &mut change);
        self.exchange_sources(new.sources, new.plans, &mut change);
        self.exchange_replay(new.replay, new.replay_plans, &mut change);
        self.setup = new.setup;
        tracing::info!(reloaded = ?change.reloading.reloaded, "the changed pipeline runs");
        change.reloading
    }

    /// What the board shows of components that are gone, new, or read others than before.
    fn show(&self, new: &Topology) {
        let board = &self.setup.board;
        let ids: HashSet<Arc<str>> = new.ids().into_iter().collect();
        for id in self.setup.topology.ids() {
            if !ids.contains(&id) {
                board.remove(&id);
            }
        }
        new.for_each_name(|name, inputs| board.keep_or_add(name, inputs));
        for node in &new.transforms {
            board.component(&node.name.id, State::Running);
        }
    }

    fn exchange_sinks(
        &mut self,
        ways: Vec<(ComponentName, Way)>,
        inlets: Inlets,
        change: &mut Change,
    ) {
        let mut old: HashMap<Arc<str>, SinkUnit> = std::mem::take(&mut self.sinks)
            .into_iter()
            .map(|it| (Arc::clone(&it.unit.name.id), it))
            .collect();
        for ((name, way), inlet) in ways.into_iter().zip(inlets) {
            // Letting go of the old inlet is what ends the old sink, once all partitions did.
            let before = old.remove(&name.id).map(|it| it.unit);
            let unit = match (way, before) {
                (Way::Kept, Some(unit)) => change.keep(unit),
                (Way::New(built, inbox), before) => {
                    let before = change.begin(&name, before);
                    change.starter.sink(*built, inbox, before)
                }
                (Way::Kept, None) => unreachable!("only what runs is kept"),
            };
            self.sinks.push(SinkUnit { unit, inlet });
        }
        for (_, gone) in old {
            self.leave(gone.unit, change);
        }
    }

    fn exchange_sources(
        &mut self,
        mut built: HashMap<Arc<str>, Built<dyn Source>>,
        plans: HashMap<Arc<str>, Plan>,
        change: &mut Change,
    ) {
        let mut old: HashMap<Arc<str>, SourceUnit> = std::mem::take(&mut self.sources)
            .into_iter()
            .map(|it| (Arc::clone(&it.unit.name.id), it))
            .collect();
        for (id, plan) in plans {
            let before = old.remove(&id);
            let source = match (built.remove(&id), before) {
                (Some(built), before) => {
                    let name = built.cx.component.clone();
                    let before = change.begin(&name, before.map(|it| it.unit));
                    let share = change.starter.budget.share();
                    change
                        .starter
                        .source(built, share, Plans::Same(plan), before)
                }
                (None, Some(SourceUnit { unit, plans })) => {
                    plans.send_replace(Plans::Same(plan));
                    let unit = change.keep(unit);
                    SourceUnit { unit, plans }
                }
                (None, None) => unreachable!("what does not run is built"),
            };
            self.sources.push(source);
        }
        for (_, gone) in old {
            self.leave(gone.unit, change);
        }
    }

    fn exchange_replay(
        &mut self,
        built: Option<Built<dyn Source>>,
        plans: Plans,
        change: &mut Change,
    ) {
        match (built, self.replay.take()) {
            (Some(built), old) => {
                let before = change.before(old.map(|it| it.unit));
                let share = Builder::replay_share();
                self.replay = Some(change.starter.source(built, share, plans, before));
            }
            (None, Some(kept)) => {
                kept.plans.send_replace(plans);
                self.replay = Some(kept);
            }
            (None, None) => {}
        }
    }

    fn leave(&mut self, unit: Unit, change: &mut Change) {
        change
            .reloading
            .reloaded
            .stopped
            .push(unit.name.to_string());
        let report = change.report();
        let (engine, deadline) = (Arc::clone(&self.engine), change.deadline);
        let metrics = self.setup.metrics.clone();
        self.leaving.spawn(async move {
            let retired = unit.retire(deadline, &engine).await;
            metrics.forget_component(&retired.name);
            // Whoever asked for the reload may be gone.
            let _gone = report.send(retired);
        });
    }
}

/// A change that is being put in place.
struct Change {
    starter: Starter,
    /// For whatever has to end.
    deadline: Instant,
    reloading: Reloading,
}

impl Change {
    fn keep(&mut self, unit: Unit) -> Unit {
        self.reloading.reloaded.kept.push(unit.name.to_string());
        unit
    }

    /// What a component that begins waits for, noted as the change that it is.
    fn begin(&mut self, name: &ComponentName, before: Option<Unit>) -> Before {
        let Reloaded {
            started, replaced, ..
        } = &mut self.reloading.reloaded;
        match &before {
            Some(_) => replaced.push(name.to_string()),
            None => started.push(name.to_string()),
        }
        self.before(before)
    }

    fn before(&mut self, unit: Option<Unit>) -> Before {
        let report = unit.is_some().then(|| self.report());
        Before {
            unit,
            deadline: self.deadline,
            report,
        }
    }

    fn report(&mut self) -> oneshot::Sender<Retired> {
        let (report, reported) = oneshot::channel();
        self.reloading.reports.push(reported);
        report
    }
}

impl Setup {
    /// The same process with another topology.
    fn changed(&self, new: Reload) -> Self {
        Self {
            name: Arc::clone(&self.name),
            data_dir: self.data_dir.clone(),
            config_dir: new.config_dir,
            network: new.network,
            topology: new.topology,
            shutdown: new.shutdown,
            metrics: self.metrics.clone(),
            shared: self.shared.clone(),
            board: self.board.clone(),
            budget_bytes: self.budget_bytes,
            dead_letter_bytes: self.dead_letter_bytes,
            backfill: self.backfill,
        }
    }
}

fn by_id<T: ?Sized>(built: Vec<Built<T>>) -> HashMap<Arc<str>, Built<T>> {
    let built = built.into_iter();
    built
        .map(|it| (Arc::clone(&it.cx.component.id), it))
        .collect()
}

/// The sinks that have a queue on disk, with its settings.
fn spools(topology: &Topology) -> HashMap<Arc<str>, Print> {
    let queues = topology.sinks.iter().filter_map(|node| {
        let sink = node.name.id.strip_suffix(":spool")?;
        Some((Arc::from(sink), node.print))
    });
    queues.collect()
}

fn is_same(some: &[Arc<str>], others: &[Arc<str>]) -> bool {
    let some: HashSet<&Arc<str>> = some.iter().collect();
    some == others.iter().collect()
}
