//! What a pipeline needs to run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tapline_core::metrics::Metrics;
use tapline_core::{NetworkSettings, Shared, Span};

use crate::status::StatusBoard;
use crate::topology::Topology;

/// Bytes of unsettled events in memory.
const BUDGET: usize = 12 << 20;
/// The same with a sink that makes events and cursors durable together: what a transaction holds cannot
/// be read beside it.
const TRANSACTIONAL_BUDGET: usize = 2 * BUDGET;
/// Default of [`Setup::dead_letter_bytes`].
pub const DEAD_LETTERS: u64 = 1 << 30;

/// Default of [`Setup::shutdown`].
const SHUTDOWN: Duration = Duration::from_secs(20);

/// A topology, and what it needs to run.
pub struct Setup {
    /// The pipeline's name.
    pub name: Arc<str>,
    /// Checkpoints, dead letters, and the components' small private files. Made if missing.
    pub data_dir: PathBuf,
    /// Folder of the pipeline file; relative paths in settings start here.
    pub config_dir: PathBuf,
    /// Proxy and trust of the process.
    pub network: NetworkSettings,
    /// The checked graph.
    pub topology: Topology,
    /// How long a drain may take.
    pub shutdown: Duration,
    /// All metrics of the process.
    pub metrics: Metrics,
    /// Things that components share.
    pub shared: Shared,
    /// Where states are shown.
    pub board: StatusBoard,
    /// Bytes of unsettled events in memory; without a reason 12 MiB, and 24 MiB with a transactional
    /// sink.
    pub budget_bytes: Option<usize>,
    /// Bytes of dead letters on disk, [`DEAD_LETTERS`] unless there is a reason.
    pub dead_letter_bytes: u64,
    /// What the sources are to read, and then end, instead of following their streams. Every source
    /// of the topology has to be of a type that can, but for queues on disk.
    pub backfill: Option<Span>,
}

impl Setup {
    /// A topology with the default bounds, in the state of a process that just began.
    pub fn new(
        name: impl Into<Arc<str>>,
        data_dir: PathBuf,
        topology: Topology,
        metrics: Metrics,
    ) -> Self {
        let name = name.into();
        Self {
            board: StatusBoard::new(Arc::clone(&name)),
            name,
            config_dir: data_dir.clone(),
            data_dir,
            network: NetworkSettings::default(),
            topology,
            shutdown: SHUTDOWN,
            metrics,
            shared: Shared::default(),
            budget_bytes: None,
            dead_letter_bytes: DEAD_LETTERS,
            backfill: None,
        }
    }

    pub(super) fn budget(&self) -> usize {
        let default = match self.topology.transactional.is_empty() {
            true => BUDGET,
            false => TRANSACTIONAL_BUDGET,
        };
        self.budget_bytes.unwrap_or(default)
    }
}
