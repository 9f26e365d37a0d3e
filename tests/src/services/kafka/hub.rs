//! A listener that asks for what the Kafka endpoint of Azure Event Hubs asks for.

use std::path::Path;

use crate::services::certificates::CertificateFiles;

/// What a client has to show.
#[derive(Clone, Copy, Debug)]
pub enum HubProof<'a> {
    /// A user literally named `$ConnectionString`, with this password.
    ConnectionString(&'a str),
    /// A token of this audience, proven by the public keys at this address.
    Token {
        /// Address of the keys.
        keys: &'a str,
        /// Audience.
        audience: &'a str,
    },
}

/// Ports of a broker's three listeners.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) plain: u16,
    pub(super) controller: u16,
    pub(super) hub: u16,
}

impl HubProof<'_> {
    /// Lines of a broker's properties file.
    ///
    /// # Errors
    /// What reading or writing a certificate ended with.
    pub(super) fn properties(
        self,
        folder: &Path,
        server: &CertificateFiles,
        ports: Ports,
    ) -> std::io::Result<String> {
        let Ports {
            plain,
            controller,
            hub,
        } = ports;
        let store = folder.join("hub.pem");
        let pem = [&server.key, &server.cert].map(std::fs::read_to_string);
        std::fs::write(&store, pem.into_iter().collect::<Result<String, _>>()?)?;
        let (store, here) = (store.display(), "127.0.0.1");
        let listener = format!(
            "listeners=PLAIN://{here}:{plain},CONTROLLER://{here}:{controller},HUB://{here}:{hub}\n\
             advertised.listeners=PLAIN://{here}:{plain},HUB://localhost:{hub}\n\
             listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,HUB:SASL_SSL\n\
             listener.name.hub.ssl.keystore.type=PEM\n\
             listener.name.hub.ssl.keystore.location={store}\n"
        );
        Ok(listener + &self.mechanism())
    }

    fn mechanism(self) -> String {
        let module = "org.apache.kafka.common.security";
        match self {
            Self::ConnectionString(text) => format!(
                "listener.name.hub.sasl.enabled.mechanisms=PLAIN\n\
                 listener.name.hub.plain.sasl.jaas.config=\
                 {module}.plain.PlainLoginModule required user_$ConnectionString=\"{text}\";"
            ),
            // Without the validator's class the broker takes any token that is well formed; and a
            // connection ends with its token only if there is a longest time for it (both tried
            // with 4.1.1).
            Self::Token { keys, audience } => format!(
                "listener.name.hub.sasl.enabled.mechanisms=OAUTHBEARER\n\
                 listener.name.hub.oauthbearer.sasl.jaas.config=\
                 {module}.oauthbearer.OAuthBearerLoginModule required;\n\
                 listener.name.hub.oauthbearer.sasl.server.callback.handler.class=\
                 {module}.oauthbearer.OAuthBearerValidatorCallbackHandler\n\
                 listener.name.hub.oauthbearer.connections.max.reauth.ms=3600000\n\
                 sasl.oauthbearer.jwt.validator.class={module}.oauthbearer.BrokerJwtValidator\n\
                 sasl.oauthbearer.jwks.endpoint.url={keys}\n\
                 sasl.oauthbearer.expected.audience={audience}"
            ),
        }
    }

    /// What the broker's virtual machine has to be told.
    pub(super) fn machine(self) -> Vec<String> {
        match self {
            Self::ConnectionString(_) => Vec::new(),
            Self::Token { keys, .. } => {
                vec![format!(
                    "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys}"
                )]
            }
        }
    }
}
