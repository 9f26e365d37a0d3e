//! A pipeline with everything around it: admin HTTP, metrics, and the live view.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tapline_core::Shared;
use tapline_core::metrics::Metrics;
use tapline_runtime::admin::{AdminServer, Controls, Operator};
use tapline_runtime::status::StatusBoard;
use tapline_runtime::{BUDGET, DEAD_LETTERS, Ended, Pipeline, Running, Runtime, Setup, Stopped};

use crate::plugins;

/// A running pipeline and its admin HTTP.
pub(crate) struct Service {
    pub(crate) board: StatusBoard,
    pub(crate) metrics: Metrics,
    running: Running,
    admin: Option<AdminServer>,
}

impl Service {
    /// Starts the admin HTTP, then the pipeline. Needs no connection to the outside.
    pub(crate) async fn start(pipeline: Pipeline) -> anyhow::Result<Self> {
        let metrics = Metrics::new()?;
        let board = StatusBoard::new(Arc::clone(&pipeline.name));
        let operator = Operator::default();
        let admin = match &pipeline.admin {
            None => None,
            Some(config) => {
                let server = AdminServer::start(
                    config,
                    &pipeline.config_dir,
                    metrics.clone(),
                    board.clone(),
                    operator.clone(),
                );
                Some(server.await?)
            }
        };
        let budget = pipeline.memory_budget_bytes.map(usize::try_from);
        let running = Runtime::start(Setup {
            name: pipeline.name,
            data_dir: pipeline.data_dir,
            config_dir: pipeline.config_dir,
            network: pipeline.network,
            topology: pipeline.topology,
            shutdown: pipeline.shutdown,
            metrics: metrics.clone(),
            shared: Shared::default(),
            board: board.clone(),
            budget_bytes: budget.transpose()?.unwrap_or(BUDGET),
            dead_letter_bytes: DEAD_LETTERS,
        })
        .await
        .context("starting the pipeline")?;
        operator.runs(Controls {
            state: running.state(plugins::registry().cursors()),
        });
        Ok(Self {
            board,
            metrics,
            running,
            admin,
        })
    }

    /// Where the admin HTTP listens.
    pub(crate) fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(AdminServer::address)
    }

    /// Completes when the pipeline should stop although nobody asked for it. Cancel-safe.
    pub(crate) async fn ended(&self) -> Ended {
        self.running.ended().await
    }

    /// Drains the pipeline, then ends the admin HTTP.
    pub(crate) async fn stop(self) -> Stopped {
        let stopped = self.running.stop().await;
        if let Some(admin) = self.admin {
            admin.stop().await;
        }
        stopped
    }
}

/// How long traces may take to be sent at the end.
pub(crate) const FLUSH_LIMIT: Duration = Duration::from_secs(3);
