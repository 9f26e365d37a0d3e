//! A pipeline with everything around it: admin HTTP, metrics, and the live view.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tapline_core::metrics::Metrics;
use tapline_core::{Shared, Span};
use tapline_runtime::admin::{AdminServer, Controls, Operator, ReloadRequest};
use tapline_runtime::config::Fixed;
use tapline_runtime::status::StatusBoard;
use tapline_runtime::{DEAD_LETTERS, Ended, Pipeline, Running, Runtime, Setup, Stopped};
use tokio::sync::mpsc;

use crate::{plugins, reload};

/// A running pipeline and its admin HTTP.
pub(crate) struct Service {
    pub(crate) board: StatusBoard,
    pub(crate) metrics: Metrics,
    running: Running,
    admin: Option<AdminServer>,
    fixed: Fixed,
    /// Wishes that come over the admin HTTP, until they are taken by who fulfils them.
    reload_requests: mpsc::Receiver<ReloadRequest>,
}

impl Service {
    /// Starts the admin HTTP, then the pipeline. Needs no connection to the outside.
    /// With a span, sources read that instead of their live streams.
    pub(crate) async fn start(pipeline: Pipeline, backfill: Option<Span>) -> anyhow::Result<Self> {
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
            budget_bytes: budget.transpose()?,
            dead_letter_bytes: DEAD_LETTERS,
            backfill,
        })
        .await
        .context("starting the pipeline")?;
        let (reload, reload_requests) = mpsc::channel(1);
        operator.runs(Controls {
            state: running.state(plugins::registry().cursors()),
            reload,
        });
        Ok(Self {
            board,
            metrics,
            running,
            admin,
            fixed: pipeline.fixed,
            reload_requests,
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

    /// Wishes of the admin HTTP for [`Service::reload`]; can be taken once.
    pub(crate) fn reload_requests(&mut self) -> mpsc::Receiver<ReloadRequest> {
        let (_, nobody) = mpsc::channel(1);
        std::mem::replace(&mut self.reload_requests, nobody)
    }

    /// Puts a changed file in place of what runs. Completes, if it was taken, once what had to end
    /// has ended; the outcome is said in the log, on the board, and to who asked.
    pub(crate) fn reload(
        &mut self,
        file: &Path,
        request: Option<ReloadRequest>,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let board = self.board.clone();
        match reload::begin(&mut self.running, &self.fixed, file) {
            Ok(reloading) => Some(async move {
                reload::tell(&board, request, Ok(reloading.finished().await));
            }),
            Err(lines) => {
                reload::tell(&board, request, Err(lines));
                None
            }
        }
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
