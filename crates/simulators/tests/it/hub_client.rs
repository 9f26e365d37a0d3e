//! A reader of a hub, on fe2o3-amqp.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::link::{Receiver, ReceiverAttachError, RecvError};
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::definitions::{Fields, ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp::types::messaging::{Body, FilterSet, Source};
use fe2o3_amqp::types::primitives::{Symbol, Value};
use fe2o3_amqp::{Connection, Delivery, Session};
use fe2o3_amqp_cbs::client::CbsClient;
use fe2o3_amqp_cbs::token::CbsToken;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::collections::HashMap;
use std::fmt::Debug;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tapline_simulators::HubHandle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

const SELECTOR: &str = "apache.org:selector-filter:string";

/// Every wait of a test ends by then.
const LIMIT: Duration = Duration::from_secs(60);

/// A connection, with a session for tokens and one for each attempt to read.
pub(crate) struct HubClient {
    connection: ConnectionHandle<()>,
    /// Dropped, they end.
    sessions: Vec<SessionHandle<()>>,
    cbs: CbsClient,
    hub: HubHandle,
}

/// What a reader asks for.
pub(crate) struct Wish<'a> {
    pub(crate) address: &'a str,
    pub(crate) filter: Option<&'a str>,
    pub(crate) epoch: Option<i64>,
    pub(crate) metric: bool,
    pub(crate) credit: CreditMode,
}

impl Default for Wish<'_> {
    fn default() -> Self {
        Self {
            address: "defender/ConsumerGroups/$Default/Partitions/0",
            filter: None,
            epoch: None,
            metric: false,
            credit: CreditMode::Auto(50),
        }
    }
}

impl HubClient {
    /// Connects in clear, without a token.
    pub(crate) async fn stranger(hub: &HubHandle) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", hub.port())).await.unwrap();
        Self::over(hub, stream).await
    }

    /// Connects over a stream, without a token.
    pub(crate) async fn over<S>(hub: &HubHandle, stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Debug + Send + Unpin + 'static,
    {
        let connection = Connection::builder()
            .container_id("test")
            .hostname("localhost")
            .sasl_profile(SaslProfile::Anonymous);
        let mut connection = connection.open_with_stream(stream).await.unwrap();
        let mut session = Session::begin(&mut connection).await.unwrap();
        let cbs = CbsClient::attach(&mut session).await.unwrap();
        Self {
            connection,
            sessions: vec![session],
            cbs,
            hub: hub.clone(),
        }
    }

    /// Says goodbye, and hears it.
    pub(crate) async fn close(mut self) {
        self.connection.close().await.unwrap();
    }

    /// Connects and shows a token for the hub.
    pub(crate) async fn connect(hub: &HubHandle) -> Self {
        let mut client = Self::stranger(hub).await;
        client.show(&signature(hub, 3_600)).await.unwrap();
        client
    }

    /// Shows a token for the hub; the error names the status.
    pub(crate) async fn show(&mut self, token: &str) -> Result<(), String> {
        self.show_as("servicebus.windows.net:sastoken", token).await
    }

    /// Shows a token of this type.
    pub(crate) async fn show_as(&mut self, kind: &str, token: &str) -> Result<(), String> {
        let token = CbsToken::new(token, kind, None);
        let shown = self.cbs.put_token(audience(&self.hub), token).await;
        shown.map_err(|error| format!("{error:?}"))
    }

    /// Reads a partition, in a session of its own: fe2o3-amqp 0.18 can lose the session in which an attach was refused, when
    /// the refusal comes in one packet with its detach. For a like reason the receiver must be kept as long as messages
    /// may come: a session ends when one comes for a receiver that was dropped, and the connection after it.
    pub(crate) async fn read(&mut self, wish: Wish<'_>) -> Result<Receiver, ReceiverAttachError> {
        let mut source = Source::builder().address(wish.address);
        if let Some(filter) = wish.filter {
            let mut filters = FilterSet::new();
            filters.insert(Symbol::from(SELECTOR), Value::String(filter.to_owned()));
            source = source.filter(filters);
        }
        let mut properties = Fields::new();
        if let Some(epoch) = wish.epoch {
            properties.insert(Symbol::from("com.microsoft:epoch"), Value::Long(epoch));
        }
        let mut builder = Receiver::builder()
            .name(format!("reader-{}", rand::random::<u32>()))
            .source(source.build())
            .sender_settle_mode(SenderSettleMode::Settled)
            .receiver_settle_mode(ReceiverSettleMode::First)
            .credit_mode(wish.credit)
            .properties(properties);
        if wish.metric {
            builder = builder.add_desired_capabilities(Symbol::from(
                "com.microsoft:enable-receiver-runtime-metric",
            ));
        }
        let mut session = Session::begin(&mut self.connection).await.unwrap();
        let attached = builder.attach(&mut session).await;
        self.sessions.push(session);
        attached
    }
}

pub(crate) fn audience(hub: &HubHandle) -> String {
    format!("sb://localhost:{}/defender", hub.port())
}

/// A token for the hub, good for so many seconds.
pub(crate) fn signature(hub: &HubHandle, seconds: i64) -> String {
    let string = hub.connection_string();
    let parts: HashMap<&str, &str> = string
        .split(';')
        .filter_map(|part| part.split_once('='))
        .collect();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let until = i64::try_from(now).unwrap() + seconds;
    let resource = encode(&audience(hub));
    let mut mac = Hmac::<Sha256>::new_from_slice(parts["SharedAccessKey"].as_bytes()).unwrap();
    mac.update(format!("{resource}\n{until}").as_bytes());
    let signature = encode(&STANDARD.encode(mac.finalize().into_bytes()));
    let policy = parts["SharedAccessKeyName"];
    format!("SharedAccessSignature sr={resource}&sig={signature}&se={until}&skn={policy}")
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// The next message.
pub(crate) async fn next(receiver: &mut Receiver) -> Result<Delivery<Body<Value>>, RecvError> {
    tokio::time::timeout(LIMIT, receiver.recv())
        .await
        .expect("nothing comes")
}

/// The sequence numbers of the next messages.
pub(crate) async fn numbers(receiver: &mut Receiver, count: usize) -> Vec<i64> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        numbers.push(number(&next(receiver).await.unwrap()));
    }
    numbers
}

pub(crate) fn number(delivery: &Delivery<Body<Value>>) -> i64 {
    match annotation(delivery, "x-opt-sequence-number") {
        Value::Long(number) => *number,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn offset(delivery: &Delivery<Body<Value>>) -> String {
    match annotation(delivery, "x-opt-offset") {
        Value::String(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

fn annotation<'a>(delivery: &'a Delivery<Body<Value>>, name: &str) -> &'a Value {
    let annotations = delivery.message().message_annotations.as_ref().unwrap();
    let mut all = annotations.0.iter();
    all.find(|(key, _)| format!("{key:?}").contains(name))
        .unwrap()
        .1
}

/// The bytes of all data sections.
pub(crate) fn bytes(delivery: &Delivery<Body<Value>>) -> Vec<u8> {
    match &delivery.message().body {
        Body::Data(sections) => sections
            .iter()
            .flat_map(|section| section.0.to_vec())
            .collect(),
        other => panic!("{other:?}"),
    }
}

/// What the hub said when it ended the link, session, or connection.
pub(crate) async fn end(receiver: &mut Receiver) -> String {
    loop {
        if let Err(error) = next(receiver).await {
            return format!("{error:?}");
        }
    }
}
