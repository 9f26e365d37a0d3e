//! One connection to a hub, from its making until it is of no more use, and what is read over it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp::Session as AmqpSession;
use fe2o3_amqp::session::SessionHandle;
use tapline_core::SourceError;
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, interval, sleep_until, timeout};

use super::claims::{Claims, NotShown};
use super::faults::{Action, Fault, gone, no_owner, of_beginning};
use super::hub::HubReader;
use super::manage::Management;
use super::seat::{Left, Seat};
use super::{PATIENCE, Shared};

/// From one count of the partitions to the next.
const COUNTING: Duration = Duration::from_secs(30);
/// Before a count that did not work is tried again, at least.
const COUNT_AGAIN: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_secs(1);

/// A connection, and what serves it.
struct Line {
    connection: Shared,
    claims: Claims,
    management: Management,
    /// Dropped, it ends.
    _session: SessionHandle<()>,
}

/// A connection in use.
pub(super) struct Session<'a> {
    hub: &'a mut HubReader,
    line: Line,
    /// The partitions to read; who is not among them gives up.
    claimed: watch::Sender<BTreeSet<String>>,
    running: BTreeSet<String>,
    tasks: JoinSet<(Seat, Left)>,
    count_due: Instant,
}

/// Why a connection is no longer used.
pub(super) enum Over {
    Fault(Fault),
    /// The source cannot go on.
    Source(SourceError),
}

impl From<Fault> for Over {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<SourceError> for Over {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl<'a> Session<'a> {
    /// Connects, and shows who we are.
    pub(super) async fn open(hub: &'a mut HubReader) -> Result<Self, Fault> {
        let line = match timeout(PATIENCE, Line::open(hub)).await {
            Ok(line) => line?,
            Err(_) => return Err(gone("the service does not answer")),
        };
        Ok(Self {
            hub,
            line,
            claimed: watch::Sender::new(BTreeSet::new()),
            running: BTreeSet::new(),
            tasks: JoinSet::new(),
            count_due: Instant::now(),
        })
    }

    /// Reads until the connection is of no more use; then all partitions are given back.
    pub(super) async fn run(mut self) -> Over {
        let over = self.serve().await;
        self.claimed.send_replace(BTreeSet::new());
        while let Some(task) = self.tasks.join_next().await {
            if let Err(over @ Over::Source(_)) = self.left(task) {
                return over;
            }
        }
        over
    }

    async fn serve(&mut self) -> Over {
        let mut ticks = interval(TICK);
        loop {
            let went_on = tokio::select! {
                Some(task) = self.tasks.join_next() => self.left(task),
                () = self.line.claims.due() => self.renew().await.map_err(Over::Fault),
                () = sleep_until(self.count_due) => self.count().await,
                _ = ticks.tick() => {
                    if self.line.claims.are_good() {
                        self.hub.health.works();
                    }
                    if self.hub.is_divided_anew(&self.claimed.borrow()) {
                        self.count_due = Instant::now();
                    }
                    Ok(())
                }
            };
            if let Err(over) = went_on {
                return over;
            }
        }
    }

    /// Takes back the seat of a partition that is no longer read.
    fn left(&mut self, task: Result<(Seat, Left), JoinError>) -> Result<(), Over> {
        let (seat, left) = task.map_err(|error| SourceError(error.to_string()))?;
        self.running.remove(&seat.id);
        // One that was given up is opened anew if it comes back: others may have read on.
        let is_kept = self.claimed.borrow().is_empty() && !self.hub.is_divided();
        let is_given_up = matches!(left, Left::Released) && !is_kept;
        if !is_given_up {
            self.hub.seats.insert(seat.id.clone(), seat);
        }
        match left {
            Left::Released => Ok(()),
            Left::Connection(fault) => Err(fault.into()),
            Left::Stopped => {
                Err(SourceError("a partition takes no more batches".to_owned()).into())
            }
        }
    }

    /// A refusal is told and tried again: until the token before has ended, nothing changes.
    async fn renew(&mut self) -> Result<(), Fault> {
        match self.line.claims.show(&self.hub.reading.access).await {
            Ok(()) => Ok(()),
            Err(NotShown::Gone(fault)) => Err(fault),
            Err(NotShown::Refused(fault)) => {
                self.hub.tell(&fault);
                Ok(())
            }
        }
    }

    /// Looks which partitions there are, and begins to read those that are new.
    async fn count(&mut self) -> Result<(), Over> {
        self.count_due = Instant::now() + COUNTING;
        match self.begin_new().await {
            Err(Over::Fault(fault)) if fault.action != Action::Connect => {
                self.hub.tell(&fault);
                self.count_due = Instant::now() + fault.least_wait().max(COUNT_AGAIN);
                Ok(())
            }
            ended => ended,
        }
    }

    async fn begin_new(&mut self) -> Result<(), Over> {
        let ids = self.line.management.partitions().await?;
        self.hub.note(&ids);
        let name = self.hub.name.clone();
        let claimed = match self.hub.divided() {
            Some(ours) => Ok(ours),
            None => self.hub.reading.ownership.claim(&name, &ids).await,
        };
        match claimed {
            Ok(claimed) => self.claimed.send_replace(claimed),
            Err(why) => return Err(no_owner(why).into()),
        };
        let claimed = self.claimed.borrow().clone();
        for id in claimed {
            if self.running.contains(&id) {
                self.ask_for(&id).await?;
            } else if let Some(seat) = self.seat(&id, ids.len()).await? {
                self.spawn(seat);
            }
        }
        Ok(())
    }

    /// Asks how far a partition is whose link does not tell, such as one that was stolen.
    async fn ask_for(&mut self, id: &str) -> Result<(), Fault> {
        if let Some(standing) = self.hub.silent(id) {
            let bounds = self.line.management.bounds(id).await?;
            standing.has(bounds.oldest, bounds.end);
        }
        Ok(())
    }

    /// The seat of a partition, as it was left or newly opened; none if another process reads it by
    /// now.
    async fn seat(&mut self, id: &str, partitions: usize) -> Result<Option<Seat>, Over> {
        if let Some(seat) = self.hub.seats.remove(id) {
            return Ok(Some(seat));
        }
        let bounds = self.line.management.bounds(id).await?;
        Ok(self.hub.open(id, bounds, partitions).await?)
    }

    fn spawn(&mut self, seat: Seat) {
        let id = seat.id.clone();
        self.running.insert(id.clone());
        let mut claimed = self.claimed.subscribe();
        let released = async move {
            // An error means that the session is gone, which is a release too.
            let _gone = claimed.wait_for(|claimed| !claimed.contains(&id)).await;
        };
        let connection = Arc::clone(&self.line.connection);
        self.tasks.spawn(seat.read(connection, released));
    }
}

impl Line {
    async fn open(hub: &HubReader) -> Result<Self, Fault> {
        let reading = &hub.reading;
        let mut connection = reading.dialer.open().await?;
        let mut session = AmqpSession::begin(&mut connection)
            .await
            .map_err(|error| of_beginning(&error))?;
        let mut claims = Claims::attach(&mut session, &reading.access, &hub.name).await?;
        let shown = claims.show(&reading.access).await;
        shown.map_err(|(NotShown::Refused(fault) | NotShown::Gone(fault))| fault)?;
        let management = Management::attach(&mut session, &hub.name).await?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            claims,
            management,
            _session: session,
        })
    }
}
