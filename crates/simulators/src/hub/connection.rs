//! One client's connection, from its first byte to its last.

use super::claims::{Claim, Gate};
use super::envelope::{self, Metric, Request};
use super::frames::{Frame, FrameKind, Frames, LARGEST};
use super::links::{Feed, Node, Sending, Session, WINDOW, wire_error};
use super::trouble::Place;
use super::{Hub, HubError, HubFault, Mailbox, Order, RecordedToken, management};
use crate::ticks;
use crate::tokens::Tokens;
use bytes::Bytes;
use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::performatives::{
    Begin, Close, Detach, Disposition, End, Flow, Open, Performative, Transfer,
};
use fe2o3_amqp_types::primitives::Value;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What the service says it waits for a silent peer. Source: its Open, quoted in Azure/azure-sdk-for-python#5316.
const IDLE_MS: u32 = 240_000;
/// How long nothing happens at most before the clock is looked at.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// One connection that is open.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) hub: Arc<Hub>,
    pub(super) tokens: Arc<Tokens>,
    /// Counts the connections of the hub.
    pub(super) number: u64,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) frames: Frames,
    pub(super) sessions: BTreeMap<u16, Session>,
    pub(super) claims: Vec<Claim>,
    pub(super) weather: super::weather::Weather,
    /// How often the peer wants to hear of us.
    pub(super) heartbeat: Option<Duration>,
    pub(super) said: Instant,
    /// Nothing more is done but to send what waits.
    pub(super) ending: bool,
}

impl Connection {
    /// Serves the client until one of both ends it.
    pub(super) async fn run(mut self) -> io::Result<()> {
        super::handshake::greet(&mut self).await?;
        loop {
            while let Some(frame) = self.frames.next()? {
                self.take(&frame)?;
            }
            self.obey()?;
            self.watch_the_clock()?;
            self.pump()?;
            if self.ending {
                return self.frames.flush().await;
            }
            let (mailbox, wait) = (Arc::clone(&self.mailbox), self.longest_wait());
            tokio::select! {
                moved = self.frames.move_bytes() => moved?,
                () = mailbox.bell.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn take(&mut self, frame: &Frame) -> io::Result<()> {
        if frame.body.is_empty() {
            return Ok(());
        }
        let (performative, payload) = frame.read::<Performative>()?;
        match performative {
            Performative::Open(open) => self.open(&open),
            Performative::Begin(begin) => self.begin(frame.channel, &begin),
            Performative::Attach(attach) => self.attach(frame.channel, attach),
            Performative::Flow(flow) => self.flow(frame.channel, &flow),
            Performative::Transfer(transfer) => self.request(frame.channel, &transfer, &payload),
            Performative::Disposition(_) => Ok(()),
            Performative::Detach(detach) => self.detached(frame.channel, &detach),
            Performative::End(_) => self.ended(frame.channel),
            Performative::Close(_) => self.close(None),
        }
    }

    fn open(&mut self, open: &Open) -> io::Result<()> {
        self.frames.largest = usize::try_from(open.max_frame_size.0)
            .unwrap_or(LARGEST)
            .clamp(512, LARGEST);
        self.heartbeat = open
            .idle_time_out
            .map(|ms| Duration::from_millis(u64::from(ms.max(200)) / 2));
        let answer = Open {
            container_id: format!("{:032x}_G{}", self.number, self.number),
            hostname: None,
            max_frame_size: (LARGEST as u32).into(),
            channel_max: 4_999.into(),
            idle_time_out: Some(IDLE_MS),
            outgoing_locales: None,
            incoming_locales: None,
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        self.frames.put(FrameKind::Amqp, 0, 10, &answer, &[])
    }

    fn begin(&mut self, channel: u16, begin: &Begin) -> io::Result<()> {
        let session = Session::new(channel, begin.incoming_window, begin.next_outgoing_id);
        self.sessions.insert(channel, session);
        let answer = Begin {
            remote_channel: Some(channel),
            next_outgoing_id: 0,
            incoming_window: WINDOW,
            outgoing_window: WINDOW,
            handle_max: 255.into(),
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        self.frames.put(FrameKind::Amqp, channel, 8, &answer, &[])
    }

    fn flow(&mut self, channel: u16, flow: &Flow) -> io::Result<()> {
        let Some(session) = self.sessions.get_mut(&channel) else {
            return Ok(());
        };
        session.widen(flow);
        let handle = flow.handle.as_ref().map(|handle| handle.0);
        if let Some(link) = handle.and_then(|handle| session.sending.get_mut(&handle)) {
            link.grant(flow);
            if let Some(reading) = link.reading() {
                let mut state = self.hub.lock();
                let largest = state.largest_credit.entry(reading.partition).or_default();
                *largest = link.credit.max(*largest);
            }
        }
        if flow.echo {
            session.report(&mut self.frames, handle.unwrap_or(u32::MAX))?;
        }
        Ok(())
    }

    /// Takes a piece of a request in, and answers when it is whole.
    fn request(&mut self, channel: u16, transfer: &Transfer, payload: &Bytes) -> io::Result<()> {
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

    fn admit(
        &self,
        kind: &str,
        token: &str,
        audience: &str,
    ) -> Result<Claim, super::claims::Denied> {
        let key = self.hub.lock().key.clone();
        let gate = Gate {
            key: &key,
            port: self.hub.port,
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

    fn detached(&mut self, channel: u16, detach: &Detach) -> io::Result<()> {
        let handle = detach.handle.0;
        if self.forget(channel, handle)
            && let Some(session) = self.sessions.get(&channel)
        {
            session.detach(&mut self.frames, handle, None)?;
        }
        Ok(())
    }

    fn ended(&mut self, channel: u16) -> io::Result<()> {
        if self.forget_session(channel) {
            self.frames
                .put(FrameKind::Amqp, channel, 1, &End { error: None }, &[])?;
        }
        Ok(())
    }

    fn close(&mut self, error: Option<&HubError>) -> io::Result<()> {
        let error = error.map(wire_error);
        self.ending = true;
        self.frames
            .put(FrameKind::Amqp, 0, 1, &Close { error }, &[])
    }

    /// A link is no more; says whether there was one.
    fn forget(&mut self, channel: u16, handle: u32) -> bool {
        let Some(session) = self.sessions.get_mut(&channel) else {
            return false;
        };
        let sending = session.sending.remove(&handle);
        if let Some(reading) = sending.as_ref().and_then(Sending::reading) {
            self.hub.lock().readers.leave(reading.number);
        }
        session.receiving.remove(&handle).is_some() || sending.is_some()
    }

    fn forget_session(&mut self, channel: u16) -> bool {
        let Some(session) = self.sessions.remove(&channel) else {
            return false;
        };
        let mut state = self.hub.lock();
        for reading in session.sending.values().filter_map(Sending::reading) {
            state.readers.leave(reading.number);
        }
        true
    }

    /// Closes the partition links that are meant, with an error.
    fn end_links(
        &mut self,
        error: &HubError,
        meant: impl Fn(&super::links::Reading) -> bool,
    ) -> io::Result<()> {
        for (channel, handle) in self.readings(meant) {
            self.end_link(channel, handle, error)?;
        }
        Ok(())
    }

    fn end_link(&mut self, channel: u16, handle: u32, error: &HubError) -> io::Result<()> {
        self.forget(channel, handle);
        match self.sessions.get(&channel) {
            Some(session) => session.detach(&mut self.frames, handle, Some(wire_error(error))),
            None => Ok(()),
        }
    }

    /// Channels and handles of the partition links that are meant.
    pub(super) fn readings(
        &self,
        meant: impl Fn(&super::links::Reading) -> bool,
    ) -> Vec<(u16, u32)> {
        let mut found = Vec::new();
        for session in self.sessions.values() {
            for (handle, link) in &session.sending {
                if link.reading().is_some_and(&meant) {
                    found.push((session.channel, *handle));
                }
            }
        }
        found
    }

    /// Does what the hub says.
    fn obey(&mut self) -> io::Result<()> {
        for order in self.mailbox.take() {
            match order {
                Order::Drop => return Err(io::ErrorKind::ConnectionAborted.into()),
                Order::Steal { number, error } => {
                    self.end_links(&error, |reading| reading.number == number)?
                }
                Order::Detach { partition, error } => {
                    self.end_links(&error, |reading| {
                        partition.is_none_or(|meant| meant == reading.partition)
                    })?;
                }
                Order::ExpireTokens => {
                    self.claims.clear();
                    self.end_links(&HubError::new("amqp:unauthorized-access"), |_| true)?;
                }
            }
        }
        Ok(())
    }

    /// Does what is due: links without a claim end, the peer hears of us, and the weather changes.
    fn watch_the_clock(&mut self) -> io::Result<()> {
        let stale: Vec<_> = self.readings(|reading| !self.claimed(&reading.path));
        for (channel, handle) in stale {
            self.end_link(channel, handle, &HubError::new("amqp:unauthorized-access"))?;
        }
        if !self.frames.is_sent() {
            self.said = Instant::now();
        } else if self
            .heartbeat
            .is_some_and(|every| self.said.elapsed() >= every)
        {
            self.frames.put_heartbeat();
            self.said = Instant::now();
        }
        self.change_weather()
    }

    fn claimed(&self, path: &str) -> bool {
        let now = ticks::now() / ticks::SECOND;
        self.claims
            .iter()
            .any(|claim| claim.until > now && claim.covers(path))
    }

    /// How long nothing is due: no pause ends, and the peer need not hear of us.
    fn longest_wait(&self) -> Duration {
        let now = Instant::now();
        let links = self
            .sessions
            .values()
            .flat_map(|session| session.sending.values());
        let pauses = links
            .filter_map(|link| link.paused_until)
            .filter(|until| *until > now);
        let dues = pauses.chain(self.heartbeat.map(|every| self.said + every));
        let first = dues.min().map(|due| due.saturating_duration_since(now));
        first.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
    }

    /// Sends what can be sent, a message of each link in turn.
    fn pump(&mut self) -> io::Result<()> {
        loop {
            let now = Instant::now();
            let mut idle = true;
            for (channel, handle) in self.ready(now) {
                if self.frames.is_full() || self.ending {
                    return Ok(());
                }
                idle &= !self.send(channel, handle)?;
            }
            if idle {
                return self.drain();
            }
        }
    }

    fn ready(&self, now: Instant) -> Vec<(u16, u32)> {
        let mut ready = Vec::new();
        for session in self.sessions.values() {
            let links = session
                .sending
                .iter()
                .filter(|(_, link)| link.is_ready(&self.hub, now));
            ready.extend(links.map(|(handle, _)| (session.channel, *handle)));
        }
        ready
    }

    /// Sends one message, unless something goes wrong; says whether there may be more.
    fn send(&mut self, channel: u16, handle: u32) -> io::Result<bool> {
        let partition = self
            .link(channel, handle)
            .and_then(Sending::reading)
            .map(|reading| reading.partition);
        if let Some(partition) = partition
            && let Some(fault) = self.strike_at(partition)
        {
            self.suffer(channel, handle, fault)?;
            return Ok(true);
        }
        self.send_unharmed(channel, handle)
    }

    pub(super) fn send_unharmed(&mut self, channel: u16, handle: u32) -> io::Result<bool> {
        let Some(message) = self.next_message(channel, handle)? else {
            return Ok(false);
        };
        let Some(session) = self.sessions.get_mut(&channel) else {
            return Ok(false);
        };
        if !session.transfer(&mut self.frames, handle, &message.0)? {
            return Ok(false);
        }
        if let Some(link) = session.sending.get_mut(&handle) {
            link.credit -= 1;
            link.delivery_count = link.delivery_count.wrapping_add(1);
            match &mut link.feed {
                Feed::Answers { waiting, .. } => drop(waiting.pop_front()),
                Feed::Partition(reading) => reading.next = message.1,
            }
        }
        Ok(true)
    }

    /// The next message of a link, and the sequence number after it.
    fn next_message(&self, channel: u16, handle: u32) -> io::Result<Option<(Vec<u8>, i64)>> {
        let Some(link) = self.link(channel, handle) else {
            return Ok(None);
        };
        let reading = match &link.feed {
            Feed::Answers { waiting, .. } => {
                return Ok(waiting.front().map(|answer| (answer.clone(), 0)));
            }
            Feed::Partition(reading) => reading,
        };
        let Some(stored) = reading.upcoming(&self.hub) else {
            return Ok(None);
        };
        let newest = self.hub.logs()[reading.partition].newest().cloned();
        let metric = newest
            .as_ref()
            .filter(|_| reading.metric)
            .map(|newest| Metric {
                newest,
                now_ms: ticks::now() / 10_000,
            });
        let bytes = envelope::write(&stored, metric.as_ref())?;
        Ok(Some((bytes, stored.position.sequence_number + 1)))
    }

    pub(super) fn link(&self, channel: u16, handle: u32) -> Option<&Sending> {
        self.sessions.get(&channel)?.sending.get(&handle)
    }

    /// Credit that was to be used up or given back is given back.
    fn drain(&mut self) -> io::Result<()> {
        for session in self.sessions.values_mut() {
            let drained = session.sending.iter_mut().filter(|(_, link)| link.drain);
            let mut handles = Vec::new();
            for (handle, link) in drained {
                link.delivery_count = link.delivery_count.wrapping_add(link.credit);
                link.credit = 0;
                handles.push(*handle);
            }
            for handle in handles {
                session.report(&mut self.frames, handle)?;
                if let Some(link) = session.sending.get_mut(&handle) {
                    link.drain = false;
                }
            }
        }
        Ok(())
    }

    /// Something goes wrong with a link instead of the next message.
    pub(super) fn suffer(&mut self, channel: u16, handle: u32, fault: HubFault) -> io::Result<()> {
        match fault {
            HubFault::Detach { error, .. } => self.end_link(channel, handle, &error),
            HubFault::EndSession { error, .. } => {
                self.forget_session(channel);
                let error = Some(wire_error(&error));
                self.frames
                    .put(FrameKind::Amqp, channel, 1, &End { error }, &[])
            }
            HubFault::CloseConnection { error, .. } => self.close(Some(&error)),
            HubFault::CutOff { .. } => {
                self.send_unharmed(channel, handle)?;
                self.frames.cut(40);
                self.ending = true;
                Ok(())
            }
            HubFault::Pause { time, .. } => {
                let session = self.sessions.get_mut(&channel);
                if let Some(link) = session.and_then(|session| session.sending.get_mut(&handle)) {
                    link.paused_until = Some(Instant::now() + time);
                }
                Ok(())
            }
            _ => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let channels: Vec<u16> = self.sessions.keys().copied().collect();
        for channel in channels {
            self.forget_session(channel);
        }
        self.hub.part(&self.mailbox);
    }
}

fn accept(frames: &mut Frames, channel: u16, transfer: &Transfer) -> io::Result<()> {
    use fe2o3_amqp_types::messaging::{Accepted, DeliveryState};
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
