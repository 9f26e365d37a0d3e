//! Requests to the two nodes that answer: tokens are shown to one, and the other tells of the hub.

use super::claims::{Claim, Denied, Gate};
use super::connection::Connection;
use super::envelope::{self, Request};
use super::frames::{FrameKind, Frames};
use super::links::Node;
use super::trouble::Place;
use super::{HubFault, RecordedToken, management};
use crate::ticks;
use bytes::Bytes;
use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::messaging::{Accepted, DeliveryState};
use fe2o3_amqp_types::performatives::{Disposition, Transfer};
use fe2o3_amqp_types::primitives::Value;
use std::io;

impl Connection {
    /// Takes a piece of a request in, and answers when it is whole.
    pub(super) fn request(
        &mut self,
        channel: u16,
        transfer: &Transfer,
        payload: &Bytes,
    ) -> io::Result<()> {
        let handle = transfer.handle.0;
        let Some(session) = self.sessions.get_mut(&channel) else {
            return Ok(());
        };
        session.next_incoming = session.next_incoming.wrapping_add(1);
        let Some(link) = session.receiving.get_mut(&handle) else {
            return Ok(());
        };
        link.partial.extend_from_slice(payload);
        if transfer.more {
            return Ok(());
        }
        link.delivery_count = link.delivery_count.wrapping_add(1);
        let (node, message) = (link.node, link.partial.split().freeze());
        if !transfer.settled.unwrap_or(false) {
            accept(&mut self.frames, channel, transfer)?;
        }
        session.invite(&mut self.frames, handle)?;
        let request = Request::read(&message)?;
        let answer = match node {
            Node::Cbs => self.put_token(&request)?,
            Node::Management => self.manage(&request)?,
        };
        let session = self.sessions.get_mut(&channel);
        let waiting =
            session.and_then(|session| session.answering(node, request.reply_to.as_deref()));
        if let Some(waiting) = waiting {
            waiting.push_back(answer);
        }
        Ok(())
    }

    fn put_token(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        let (kind, audience) = (
            request.text("type").unwrap_or_default(),
            request.text("name").unwrap_or_default(),
        );
        let token = match &request.body {
            Some(Value::String(token)) => token.as_str(),
            _ => "",
        };
        let struck = self.strike_here(Place::Token);
        let admitted = match struck {
            Some(HubFault::RefuseToken(status)) => Err((status, "The request was refused")),
            _ => self.admit(kind, token, audience),
        };
        let (status, description) = match admitted {
            Ok(claim) => {
                self.claims.retain(|old| !old.same_entity(&claim));
                self.claims.push(claim);
                (202, "Accepted")
            }
            Err(denied) => denied,
        };
        self.hub.lock().note_token(RecordedToken {
            connection: self.number,
            kind: kind.to_owned(),
            audience: audience.to_owned(),
            status,
        });
        envelope::answer(request, status, description, Value::Null)
    }

    fn manage(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        let noted = (
            request.text("type").unwrap_or_default().to_owned(),
            request.text("partition").map(str::to_owned),
        );
        self.hub.lock().note_management(noted);
        let (status, description, body) = match self.strike_here(Place::Management) {
            Some(HubFault::RefuseManagement(status)) => {
                (status, "The request was refused", Value::Null)
            }
            _ if !self.may_read(super::NAME) => (
                401,
                "Unauthorized access. 'Listen' claim(s) are required",
                Value::Null,
            ),
            _ => management::answer(&self.hub, request),
        };
        envelope::answer(request, status, description, body)
    }

    fn admit(&self, kind: &str, token: &str, audience: &str) -> Result<Claim, Denied> {
        let key = self.hub.lock().key.clone();
        let gate = Gate {
            key: &key,
            ports: self.hub.ports,
            tokens: &self.tokens,
            now: ticks::now() / ticks::SECOND,
        };
        gate.admit(kind, token, audience)
    }

    /// Whether a claim that is still good covers this path.
    pub(super) fn may_read(&self, path: &str) -> bool {
        let now = ticks::now() / ticks::SECOND;
        let good = |claim: &&Claim| claim.until > now && claim.covers(path);
        !self.hub.lock().listening_forbidden && self.claims.iter().any(|claim| good(&claim))
    }
}

fn accept(frames: &mut Frames, channel: u16, transfer: &Transfer) -> io::Result<()> {
    let disposition = Disposition {
        role: Role::Receiver,
        first: transfer.delivery_id.unwrap_or(0),
        last: transfer.delivery_id,
        settled: true,
        state: Some(DeliveryState::Accepted(Accepted {})),
        batchable: false,
    };
    frames.put(FrameKind::Amqp, channel, 6, &disposition, &[])
}
