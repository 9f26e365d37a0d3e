//! What a simulation is started with.

use crate::Faults;
use crate::hub::HubCertificate;
use std::path::PathBuf;

/// What [`crate::Simulation::start`] is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Seed of everything that is made. The same seed makes the same records in the same order; only their times differ.
    pub seed: u64,
    /// Versions made per second, all kinds together. More than zero; a huge value makes a backlog as fast as the machine can.
    pub rate: f64,
    /// After so many versions of all kinds no more are made; serving goes on. `None` means never to stop.
    pub events: Option<u64>,
    /// Where the ledger is appended, one JSON object per line.
    pub ledger: Option<PathBuf>,
    /// What goes wrong, and how often.
    pub faults: Faults,
    /// A folder with `graph-alerts-v2`, `graph-incidents`, and `siem-api`: their records serve as templates in place of
    /// invented ones.
    pub samples: Option<PathBuf>,
    /// Whether half of the versions are `hunting.*` records, streamed to the hub `defender`; else there are none.
    pub hub: bool,
    /// With what the hub speaks TLS, on a port of its own and for WebSockets; `None` makes a certificate for `localhost` and
    /// `127.0.0.1`, whose authority is announced.
    pub hub_certificate: Option<HubCertificate>,
}

impl Default for Settings {
    /// Ten versions a second for ever, seed 0, no ledger, no faults.
    fn default() -> Self {
        Self {
            seed: 0,
            rate: 10.0,
            events: None,
            ledger: None,
            faults: Faults::none(),
            samples: None,
            hub: false,
            hub_certificate: None,
        }
    }
}

/// Why a simulation could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No loopback port could be taken.
    #[error("binding a port on loopback")]
    Bind(#[source] std::io::Error),
    /// The ledger cannot be appended to.
    #[error("opening the ledger {path}")]
    Ledger {
        /// The ledger's path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The samples cannot be read, or hold no record.
    #[error("reading the samples in {path}: {why}")]
    Samples {
        /// The folder as given.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate cannot be used, or none could be made.
    #[error("preparing the certificate of the hub: {0}")]
    Certificate(String),
    /// The rate is not a number above zero.
    #[error("rate must be a number above zero, not {0}")]
    Rate(f64),
}
