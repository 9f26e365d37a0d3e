//! Which namespace and hubs are read, and with what proof; secrets are looked up anew for every
//! connection, so that a rotated key is found.

use std::path::PathBuf;
use std::sync::Arc;

use tapline_core::{BuildContext, BuildError, Secret, SecretSource};
use tapline_entra_auth::{Audience, AuthError, Cloud, Token, TokenPool, TokenProvider};

use crate::claim::Claim;
use crate::config::{AuthConfig, EventHubConfig, Transport};
use crate::connection_string::{ConnectionString, ConnectionStringError, Proof as Read};

/// Where to connect, and as whom.
pub(crate) struct Access {
    /// Host of the namespace.
    pub(crate) namespace: String,
    pub(crate) port: Option<u16>,
    pub(crate) hubs: Vec<String>,
    pub(crate) is_emulator: bool,
    /// Of the shared access policy; none for an identity or a ready-made token.
    pub(crate) policy: Option<String>,
    proof: Proof,
    config_dir: PathBuf,
}

enum Proof {
    ConnectionString(SecretSource),
    Sas {
        policy: String,
        key: SecretSource,
    },
    Identity {
        tokens: Arc<TokenProvider>,
        audience: Audience,
    },
}

/// What is shown to the Kafka endpoint.
pub(crate) enum Credential {
    /// The whole connection string.
    Password(Secret),
    /// A token of the identity platform.
    Token(Token),
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    #[error("the secret cannot be had")]
    Secret(#[from] tapline_core::SecretError),
    #[error(transparent)]
    ConnectionString(#[from] ConnectionStringError),
    #[error("no token")]
    Token(#[from] AuthError),
}

impl Access {
    /// Checks what the settings name.
    ///
    /// # Errors
    /// [`BuildError`] when a secret, a certificate, or the connection string cannot be used.
    pub(crate) fn build(config: &EventHubConfig, cx: &BuildContext) -> Result<Self, BuildError> {
        let AuthConfig {
            sas,
            connection_string,
            identity,
        } = &config.auth;
        if let Some(source) = connection_string {
            return Self::from_connection_string(config, source, cx);
        }
        let namespace = config.namespace.clone().unwrap_or_default();
        let (policy, proof) = match (sas, identity) {
            (Some(sas), _) => {
                let tested = sas.key.resolve(&cx.config_dir);
                tested.map_err(|error| BuildError::new("auth.sas.key", error))?;
                let (policy, key) = (sas.policy.clone(), sas.key.clone());
                (Some(policy.clone()), Proof::Sas { policy, key })
            }
            (None, Some(identity)) => {
                let pool = cx.shared.get_or_init(TokenPool::default);
                let login = config.endpoints.login.as_deref();
                let login = login.unwrap_or_else(|| cloud(&namespace).login());
                let tokens = pool.provider(identity, login, cx).map_err(below_auth)?;
                let audience = audience(config.transport, &namespace);
                (None, Proof::Identity { tokens, audience })
            }
            (None, None) => return Err(BuildError::new("auth", "no proof is given")),
        };
        Ok(Self {
            namespace,
            port: None,
            hubs: config.hubs.clone(),
            is_emulator: false,
            policy,
            proof,
            config_dir: cx.config_dir.clone(),
        })
    }

    fn from_connection_string(
        config: &EventHubConfig,
        source: &SecretSource,
        cx: &BuildContext,
    ) -> Result<Self, BuildError> {
        const PATH: &str = "auth.connection_string";
        let wrong = |message: String| Err(BuildError::new(PATH, message));
        let text = source
            .resolve(&cx.config_dir)
            .map_err(|error| BuildError::new(PATH, error))?;
        let read =
            ConnectionString::parse(text.expose()).map_err(|error| BuildError::new(PATH, error))?;
        let given = config.namespace.as_deref();
        if let Some(given) = given.filter(|given| !given.eq_ignore_ascii_case(&read.host)) {
            return wrong(format!(
                "is of the namespace {}, but namespace says {given}",
                read.host
            ));
        }
        let hubs = match (&read.hub, config.hubs.as_slice()) {
            (None, []) => {
                return Err(BuildError::new(
                    "hubs",
                    "expected at least one hub: the connection string names none",
                ));
            }
            (None, hubs) => hubs.to_vec(),
            (Some(hub), []) => vec![hub.clone()],
            (Some(hub), [one]) if one.eq_ignore_ascii_case(hub) => vec![one.clone()],
            (Some(hub), _) => {
                return wrong(format!(
                    "is of the hub {hub} alone, but hubs says otherwise"
                ));
            }
        };
        let policy = match read.proof {
            Read::Key { policy, .. } => Some(policy),
            Read::Token(_) if config.transport.is_amqp() => None,
            Read::Token(_) => return wrong("holds a ready-made token, which the Kafka endpoint does not take; expected SharedAccessKeyName and SharedAccessKey".to_owned()),
        };
        Ok(Self {
            namespace: read.host,
            port: read.port,
            hubs,
            is_emulator: read.is_emulator,
            policy,
            proof: Proof::ConnectionString(source.clone()),
            config_dir: cx.config_dir.clone(),
        })
    }

    /// What to show for the next connection.
    ///
    /// # Errors
    /// [`AccessError`] when there is nothing to show now.
    pub(crate) async fn credential(&self) -> Result<Credential, AccessError> {
        match &self.proof {
            Proof::ConnectionString(source) => {
                let text = self.resolve(source).await?;
                Ok(Credential::Password(
                    ConnectionString::parse(text.expose())?.whole,
                ))
            }
            Proof::Sas { policy, key } => {
                let key = self.resolve(key).await?;
                Ok(Credential::Password(Secret::new(format!(
                    "Endpoint=sb://{}/;SharedAccessKeyName={policy};SharedAccessKey={}",
                    self.namespace,
                    key.expose()
                ))))
            }
            Proof::Identity { tokens, audience } => {
                Ok(Credential::Token(tokens.token(audience).await?))
            }
        }
    }

    /// What to show over AMQP to read a resource.
    ///
    /// # Errors
    /// [`AccessError`] when there is nothing to show now.
    pub(crate) async fn claim(&self, resource: &str) -> Result<Claim, AccessError> {
        match &self.proof {
            Proof::ConnectionString(source) => {
                let text = self.resolve(source).await?;
                Ok(match ConnectionString::parse(text.expose())?.proof {
                    Read::Key { policy, key } => Claim::signed(resource, &policy, &key),
                    Read::Token(token) => Claim::ready_made(token),
                })
            }
            Proof::Sas { policy, key } => {
                let key = self.resolve(key).await?;
                Ok(Claim::signed(resource, policy, &key))
            }
            Proof::Identity { tokens, audience } => {
                Ok(Claim::of_platform(tokens.token(audience).await?))
            }
        }
    }

    /// A secret may come from a program, which takes its time.
    async fn resolve(&self, source: &SecretSource) -> Result<Secret, AccessError> {
        let (source, folder) = (source.clone(), self.config_dir.clone());
        let resolved = tokio::task::spawn_blocking(move || source.resolve(&folder)).await;
        Ok(resolved.expect("looking up a secret does not panic")?)
    }

    /// The service refused a token, so that the next one is another.
    pub(crate) fn refused(&self, token: &Token) {
        if let Proof::Identity { tokens, audience } = &self.proof {
            tokens.refused(audience, token);
        }
    }

    /// Whether tokens of the identity platform are used.
    pub(crate) const fn uses_tokens(&self) -> bool {
        matches!(self.proof, Proof::Identity { .. })
    }
}

/// The two endpoints of a namespace want tokens of different audiences.
fn audience(transport: Transport, namespace: &str) -> Audience {
    Audience::V2Scope(match transport {
        Transport::Kafka => format!("https://{namespace}/.default"),
        Transport::Amqp | Transport::AmqpWebsocket => {
            "https://eventhubs.azure.net/.default".to_owned()
        }
    })
}

/// The pool does not know at which path of the file an identity stands.
fn below_auth(mut error: BuildError) -> BuildError {
    if error.path.starts_with("identity") {
        error.path = format!("auth.{}", error.path);
    }
    error
}

/// The cloud of a namespace.
///
/// Source: "Azure Government developer guide" and "Azure China developer guide", seen 2026.
fn cloud(namespace: &str) -> Cloud {
    let ends = |suffix: &str| namespace.to_ascii_lowercase().ends_with(suffix);
    if ends(".servicebus.usgovcloudapi.net") {
        Cloud::GccHigh
    } else if ends(".servicebus.chinacloudapi.cn") {
        Cloud::China
    } else {
        Cloud::Global
    }
}
