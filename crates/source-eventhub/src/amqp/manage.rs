//! Asking a hub for its partitions.

use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::messaging::ApplicationProperties;
use fe2o3_amqp::types::primitives::{Array, Value};
use fe2o3_amqp_management::client::MgmtClient;
use fe2o3_amqp_management::operations::ReadResponse;
use fe2o3_amqp_management::request::Request;
use jiff::Timestamp;
use tokio::time::timeout;

use super::PATIENCE;
use super::faults::{Fault, gone, of_asking};

/// Where the service answers questions.
pub(super) struct Management {
    client: MgmtClient,
    hub: String,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Sequence number of the oldest message.
    pub(super) oldest: i64,
    /// Sequence number of the next one.
    pub(super) end: i64,
    /// When the newest one was taken in, in milliseconds since 1970.
    pub(super) newest_ms: Option<i64>,
}

impl Bounds {
    /// Whether no message so far was taken in at a time or later.
    pub(super) fn ends_before(&self, time_ms: i64) -> bool {
        let is_past = time_ms <= Timestamp::now().as_millisecond();
        let is_empty = self.oldest == self.end;
        is_past && (is_empty || self.newest_ms.is_some_and(|newest| newest < time_ms))
    }
}

struct Read<'a> {
    hub: &'a str,
    partition: Option<&'a str>,
}

impl Request for Read<'_> {
    const OPERATION: &'static str = "READ";
    type Response = ReadResponse;
    type Body = ();

    fn manageable_entity_type(&mut self) -> Option<String> {
        let kind = if self.partition.is_some() {
            "partition"
        } else {
            "eventhub"
        };
        Some(format!("com.microsoft:{kind}"))
    }

    fn encode_application_properties(&mut self) -> Option<ApplicationProperties> {
        let named = ApplicationProperties::builder().insert("name", self.hub);
        Some(match self.partition {
            Some(partition) => named.insert("partition", partition).build(),
            None => named.build(),
        })
    }

    fn encode_body(self) -> Self::Body {}
}

impl Management {
    pub(super) async fn attach(session: &mut SessionHandle<()>, hub: &str) -> Result<Self, Fault> {
        let client = MgmtClient::attach(session, "tapline").await;
        Ok(Self {
            client: client.map_err(gone)?,
            hub: hub.to_owned(),
        })
    }

    /// The names of the partitions.
    pub(super) async fn partitions(&mut self) -> Result<Vec<String>, Fault> {
        let answer = self.ask(None).await?;
        let ids: Vec<Value> = match answer.entity_attributes.get("partition_ids") {
            Some(Value::Array(Array(ids))) => ids.clone(),
            Some(Value::List(ids)) => ids.clone(),
            _ => return Err(gone("the service does not name the hub's partitions")),
        };
        let names = ids.into_iter().map(String::try_from);
        names
            .collect::<Result<_, _>>()
            .map_err(|_| gone("the service names partitions otherwise than by text"))
    }

    pub(super) async fn bounds(&mut self, partition: &str) -> Result<Bounds, Fault> {
        let answer = self.ask(Some(partition)).await?;
        let attributes = &answer.entity_attributes;
        let number = |name: &str| match attributes.get(name) {
            Some(Value::Long(number)) => Ok(*number),
            _ => Err(gone(format!(
                "the service does not tell {name} of partition {partition}"
            ))),
        };
        let end = number("last_enqueued_sequence_number")? + 1;
        let is_empty = matches!(
            attributes.get("is_partition_empty"),
            Some(Value::Bool(true))
        );
        let oldest = number("begin_sequence_number")?.clamp(0, end);
        let newest_ms = match attributes.get("last_enqueued_time_utc") {
            Some(Value::Timestamp(time)) => Some(time.milliseconds()),
            _ => None,
        };
        Ok(Bounds {
            oldest: if is_empty { end } else { oldest },
            end,
            newest_ms,
        })
    }

    async fn ask(&mut self, partition: Option<&str>) -> Result<ReadResponse, Fault> {
        let asked = Read {
            hub: &self.hub,
            partition,
        };
        match timeout(PATIENCE, self.client.call(asked)).await {
            Ok(answer) => answer.map_err(|error| of_asking(&error)),
            // An answer that comes late would be taken for that of the next question.
            Err(_) => Err(gone("no answer to a question")),
        }
    }
}
