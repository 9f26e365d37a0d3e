//! What comes before the first session: SASL, and the protocol headers.

use super::POLICY;
use super::claims::Claim;
use super::connection::Connection;
use super::frames::{FrameKind, Frames};
use fe2o3_amqp_types::primitives::{Array, Symbol};
use fe2o3_amqp_types::sasl::{SaslCode, SaslInit, SaslMechanisms, SaslOutcome};
use std::io;

const AMQP: u8 = 0;
const SASL: u8 = 3;

/// What the service offers. Source: a captured frame, quoted in noodlefrenzy/node-amqp10#299.
const MECHANISMS: [&str; 4] = ["MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"];

/// Leads a client in. One without SASL is told that it needs it, and goes.
pub(super) async fn greet(connection: &mut Connection) -> io::Result<()> {
    let frames = &mut connection.frames;
    let wanted = frames.protocol().await?;
    frames.put_protocol(SASL);
    if wanted != SASL {
        frames.flush().await?;
        return Err(io::Error::other("a client without SASL"));
    }
    let offered = MECHANISMS.iter().map(|name| Symbol::from(*name)).collect();
    let mechanisms = SaslMechanisms {
        sasl_server_mechanisms: Array(offered),
    };
    frames.put(FrameKind::Sasl, 0, 1, &mechanisms, &[])?;
    let (init, _) = frames.wait().await?.read::<SaslInit>()?;
    let claim = identify(&init, &connection.hub.lock().key);
    answer(frames, claim.is_some()).await?;
    let claim = claim.ok_or_else(|| io::Error::other("a client that is not known"))?;
    connection.claims.extend(claim);
    if frames.protocol().await? != AMQP {
        return Err(io::Error::other("no AMQP after SASL"));
    }
    frames.put_protocol(AMQP);
    Ok(())
}

async fn answer(frames: &mut Frames, good: bool) -> io::Result<()> {
    let outcome = SaslOutcome {
        code: if good { SaslCode::Ok } else { SaslCode::Auth },
        additional_data: None,
    };
    frames.put(FrameKind::Sasl, 0, 2, &outcome, &[])?;
    frames.flush().await
}

/// `None` when the client may not come in; what it may read right away when it may.
fn identify(init: &SaslInit, key: &str) -> Option<Option<Claim>> {
    match init.mechanism.as_str() {
        "ANONYMOUS" | "EXTERNAL" | "MSSBCBS" => Some(None),
        "PLAIN" => {
            let response = init.initial_response.as_ref()?;
            let mut parts = response.split(|byte| *byte == 0).skip(1);
            let known =
                parts.next() == Some(POLICY.as_bytes()) && parts.next() == Some(key.as_bytes());
            known.then(|| Some(Claim::everything()))
        }
        _ => None,
    }
}
