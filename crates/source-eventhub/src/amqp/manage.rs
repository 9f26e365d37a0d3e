//! Asking a hub for its partitions.

use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::messaging::ApplicationProperties;
use fe2o3_amqp::types::primitives::{Array, Value};
use fe2o3_amqp_management::client::MgmtClient;
use fe2o3_amqp_management::operations::ReadResponse;
use fe2o3_amqp_management::request::Request;

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
    pub(super) async fn attach(session: &mut SessionHandle<()>, hub: &str) -> Result<Self, String> {
        let client = MgmtClient::attach(session, "tapline").await;
        let client = client.map_err(|error| error.to_string())?;
        Ok(Self {
            client,
            hub: hub.to_owned(),
        })
    }

    /// The names of the partitions.
    pub(super) async fn partitions(&mut self) -> Result<Vec<String>, String> {
        let asked = Read {
            hub: &self.hub,
            partition: None,
        };
        let answer: ReadResponse = self
            .client
            .call(asked)
            .await
            .map_err(|error| error.to_string())?;
        let ids = answer.entity_attributes.get("partition_ids").cloned();
        let Some(Value::Array(Array(ids))) = ids else {
            return Err("the service does not name the hub's partitions".to_owned());
        };
        Ok(ids
            .into_iter()
            .filter_map(|id| String::try_from(id).ok())
            .collect())
    }

    pub(super) async fn bounds(&mut self, partition: &str) -> Result<Bounds, String> {
        let asked = Read {
            hub: &self.hub,
            partition: Some(partition),
        };
        let answer: ReadResponse = self
            .client
            .call(asked)
            .await
            .map_err(|error| error.to_string())?;
        let number = |name: &str| match answer.entity_attributes.get(name) {
            Some(Value::Long(number)) => Ok(*number),
            _ => Err(format!(
                "the service does not tell {name} of partition {partition}"
            )),
        };
        let end = number("last_enqueued_sequence_number")? + 1;
        Ok(Bounds {
            oldest: number("begin_sequence_number")?.clamp(0, end),
            end,
        })
    }
}
