//! The transforms between one source partition and the sinks, each with its own instance.

use std::collections::HashMap;
use std::sync::Arc;

use tapline_core::{BuildContext, BuildError, ComponentName, Event};
use tokio::sync::mpsc;

use super::build::Inlets;
use super::stage::{Broken, Care, Recipe, Stage};
use crate::dead_letters::Letter;
use crate::topology::{Node, Topology};

/// What a source's events go through, by position: transforms that they reach, in order, then
/// sinks.
#[derive(Clone)]
pub(super) struct Plan {
    steps: Vec<PlanStep>,
    outlets: Vec<mpsc::Sender<Vec<Event>>>,
    /// The transactional sink that is reached, by its position; there is at most one.
    staging: Option<usize>,
    entry: Vec<Goal>,
}

#[derive(Clone)]
struct PlanStep {
    recipe: Recipe,
    goals: Vec<Goal>,
}

/// Where events go next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Goal {
    Step(usize),
    Outlet(usize),
    /// Kept until the cursor behind them becomes durable.
    Staged,
}

/// Where the events of a partition come in.
#[derive(Clone, Copy)]
pub(super) enum Entrance<'a> {
    /// Behind a component.
    Behind(&'a str),
    /// Into a transform or sink, past whoever else it reads.
    Into(&'a str),
}

impl Plan {
    /// The part of the topology that is reached from an entrance.
    pub(super) fn of(
        entrance: Entrance<'_>,
        topology: &Topology,
        contexts: &HashMap<Arc<str>, BuildContext>,
        sinks: &Inlets,
    ) -> Self {
        let mut plan = Self {
            steps: Vec::new(),
            outlets: Vec::new(),
            staging: None,
            entry: Vec::new(),
        };
        let mut places: HashMap<&str, Place> = HashMap::new();
        if let Entrance::Behind(source) = entrance {
            places.insert(source, Place::Entry);
        }
        for node in &topology.transforms {
            let goal = Goal::Step(plan.steps.len());
            if plan.connect(node, goal, entrance, &places) {
                places.insert(&node.name.id, Place::Step(plan.steps.len()));
                let recipe = Recipe {
                    cx: contexts[&node.name.id].clone(),
                    build: Arc::clone(&node.build),
                };
                let goals = Vec::new();
                plan.steps.push(PlanStep { recipe, goals });
            }
        }
        for (node, inlet) in topology.sinks.iter().zip(sinks) {
            let goal = Goal::Outlet(plan.outlets.len());
            if plan.connect(node, goal, entrance, &places) {
                plan.outlets.push(inlet.clone());
            }
        }
        for (position, node) in topology.transactional.iter().enumerate() {
            if plan.connect(node, Goal::Staged, entrance, &places) {
                plan.staging = Some(position);
            }
        }
        plan
    }

    /// The transactional sink that is reached, by its position.
    pub(super) fn transactional(&self) -> Option<usize> {
        self.staging
    }

    /// Builds every transform once, so that a wrong setting shows before anything runs.
    pub(super) fn check(&self) -> Result<(), (ComponentName, BuildError)> {
        for step in &self.steps {
            let Recipe { cx, build } = &step.recipe;
            build(cx).map_err(|error| (cx.component.clone(), error))?;
        }
        Ok(())
    }

    /// Leads every input that is reached to the goal; whether there was one.
    fn connect<T: ?Sized>(
        &mut self,
        node: &Node<T>,
        goal: Goal,
        entrance: Entrance<'_>,
        places: &HashMap<&str, Place>,
    ) -> bool {
        let mut reached = matches!(entrance, Entrance::Into(id) if *id == *node.name.id);
        if reached {
            self.entry.push(goal);
        }
        for place in node.inputs.iter().filter_map(|input| places.get(&**input)) {
            reached = true;
            match place {
                Place::Entry => self.entry.push(goal),
                Place::Step(step) => self.steps[*step].goals.push(goal),
            }
        }
        reached
    }
}

enum Place {
    Entry,
    Step(usize),
}

/// A running plan.
pub(super) struct Flow {
    entry: Vec<Goal>,
    goals: Vec<Vec<Goal>>,
    stages: Vec<Stage>,
    outlets: Vec<Outlet>,
    staged: Vec<Event>,
    letters: Vec<Letter>,
}

struct Outlet {
    inlet: mpsc::Sender<Vec<Event>>,
    waiting: Vec<Event>,
}

impl Flow {
    /// Instances are built when the first event comes.
    pub(super) fn new(plan: Plan) -> Self {
        let outlets = plan.outlets.into_iter().map(|inlet| Outlet {
            inlet,
            waiting: Vec::new(),
        });
        let steps = plan.steps.into_iter();
        let (stages, goals) = steps
            .map(|step| (Stage::new(step.recipe), step.goals))
            .unzip();
        Self {
            entry: plan.entry,
            goals,
            stages,
            outlets: outlets.collect(),
            staged: Vec::new(),
            letters: Vec::new(),
        }
    }

    /// Runs events through all transforms; what comes out waits for [`Flow::take_letters`] and
    /// [`Flow::hand_over`].
    ///
    /// # Errors
    /// [`Broken`] if a transform panicked on events together, or cannot be built: everything
    /// that was under way here is dropped.
    pub(super) fn apply(
        &mut self,
        events: impl Iterator<Item = Event>,
        care: Care,
    ) -> Result<(), Broken> {
        let mut first: Vec<Event> = events.collect();
        self.distribute(&mut first, None);
        for index in 0..self.stages.len() {
            if self.stages[index].inbox.is_empty() {
                continue;
            }
            if self.stages[index].apply(care, &mut self.letters).is_err() {
                self.clear();
                return Err(Broken);
            }
            let mut emitted = std::mem::take(&mut self.stages[index].output.emitted);
            self.distribute(&mut emitted, Some(index));
            self.stages[index].output.emitted = emitted;
        }
        Ok(())
    }

    /// What was rejected on the way.
    pub(super) fn take_letters(&mut self) -> Vec<Letter> {
        std::mem::take(&mut self.letters)
    }

    /// Whether events also go elsewhere than into a transaction.
    pub(super) fn has_outlets(&self) -> bool {
        !self.outlets.is_empty()
    }

    /// The events for a transaction, of all that was applied since the last time.
    pub(super) fn take_staged(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.staged)
    }

    /// Gives the events to the sinks; waits while one is full.
    ///
    /// # Cancel safety
    /// What was not handed over stays here.
    pub(super) async fn hand_over(&mut self) {
        for outlet in &mut self.outlets {
            if outlet.waiting.is_empty() {
                continue;
            }
            match outlet.inlet.reserve().await {
                Ok(place) => place.send(std::mem::take(&mut outlet.waiting)),
                // The sink ended, which it does by itself only when it is fenced.
                Err(_) => outlet.waiting.clear(),
            }
        }
    }

    /// Drops what is under way.
    pub(super) fn clear(&mut self) {
        self.letters.clear();
        self.staged.clear();
        for stage in &mut self.stages {
            stage.clear();
        }
        for outlet in &mut self.outlets {
            outlet.waiting.clear();
        }
    }

    /// Moves events to all goals of a step, or of the source; all but the last get clones.
    fn distribute(&mut self, events: &mut Vec<Event>, step: Option<usize>) {
        let goals = match step {
            Some(step) => self.goals[step].len(),
            None => self.entry.len(),
        };
        for position in 0..goals {
            let goal = match step {
                Some(step) => self.goals[step][position],
                None => self.entry[position],
            };
            let target = match goal {
                Goal::Step(step) => &mut self.stages[step].inbox,
                Goal::Outlet(outlet) => &mut self.outlets[outlet].waiting,
                Goal::Staged => &mut self.staged,
            };
            match position + 1 == goals {
                true => target.append(events),
                false => target.extend(events.iter().cloned()),
            }
        }
    }
}
