//! Shows the service who we are, and again before each proof ends (claims-based security).

use std::time::Duration;

use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp_cbs::client::CbsClient;
use fe2o3_amqp_cbs::token::CbsToken;
use fe2o3_amqp_management::error::Error as AskError;
use tapline_core::chain;
use tokio::time::{Instant, sleep_until, timeout};

use super::PATIENCE;
use super::faults::{Fault, gone, no_token, of_asking};
use crate::access::Access;

/// Before a refused renewal is tried again; doubles up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// The claims of one connection on one hub.
pub(super) struct Claims {
    client: CbsClient,
    /// What the tokens are for.
    resource: String,
    due: Instant,
    refusals: u32,
}

/// Why a token was not taken.
pub(super) enum NotShown {
    /// Links that are open stay so until the token before has ended.
    Refused(Fault),
    /// The connection is of no more use.
    Gone(Fault),
}

impl Claims {
    pub(super) async fn attach(
        session: &mut SessionHandle<()>,
        access: &Access,
        hub: &str,
    ) -> Result<Self, Fault> {
        let client = CbsClient::attach(session).await;
        Ok(Self {
            client: client.map_err(gone)?,
            resource: format!("sb://{}/{hub}", access.namespace),
            due: Instant::now(),
            refusals: 0,
        })
    }

    /// Whether the last token that was shown was taken.
    pub(super) const fn are_good(&self) -> bool {
        self.refusals == 0
    }

    /// Waits until a token has to be shown. Cancel-safe.
    pub(super) async fn due(&self) {
        sleep_until(self.due).await;
    }

    /// Shows a token that is good for longer than the one before, if there is one.
    ///
    /// # Errors
    /// [`NotShown`]; [`Claims::due`] says when to try again.
    pub(super) async fn show(&mut self, access: &Access) -> Result<(), NotShown> {
        match self.put(access).await {
            Ok(good_for) => {
                self.refusals = 0;
                self.due = Instant::now() + good_for;
                Ok(())
            }
            Err(problem) => {
                let wait = FIRST_RETRY * 2u32.saturating_pow(self.refusals.min(8));
                self.refusals += 1;
                self.due = Instant::now() + wait.min(LONGEST_RETRY);
                Err(problem)
            }
        }
    }

    /// How long the token need not be looked at.
    async fn put(&mut self, access: &Access) -> Result<Duration, NotShown> {
        let claim = access.claim(&self.resource).await;
        let claim = claim.map_err(|error| NotShown::Refused(no_token(chain(&error))))?;
        let token = CbsToken::new(claim.token.expose(), claim.kind, None);
        let put = timeout(PATIENCE, self.client.put_token(&*self.resource, token)).await;
        match put {
            Ok(Ok(())) => Ok(claim.look_again),
            Ok(Err(error @ AskError::Status(_))) => {
                if let Some(issued) = &claim.issued {
                    access.refused(issued);
                }
                Err(NotShown::Refused(self.refused(access, &error)))
            }
            Ok(Err(error)) => Err(NotShown::Gone(of_asking(&error))),
            // An answer that comes late would be taken for that of the next question.
            Err(_) => Err(NotShown::Gone(gone("no answer to a token"))),
        }
    }

    fn refused(&self, access: &Access, error: &AskError) -> Fault {
        let policy = access.policy.as_ref();
        let who = policy.map_or("the app".to_owned(), |policy| format!("policy {policy}"));
        let mut fault = of_asking(error);
        fault.why = format!(
            "the service refuses what {who} shows for {}: {}",
            self.resource, fault.why
        );
        fault
    }
}
