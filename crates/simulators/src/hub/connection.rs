//! One client's connection, from its first byte to its last.

use super::claims::Claim;
use super::frames::{Frame, FrameKind, Frames, LARGEST};
use super::links::{Reading, Sending, Session, WINDOW, wire_error};
use super::weather::Weather;
use super::{Hub, HubError, Mailbox, Order};
use crate::ticks;
use crate::tokens::Tokens;
use fe2o3_amqp_types::performatives::{Begin, Close, Detach, End, Flow, Open, Performative};
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
    pub(super) weather: Weather,
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
                return self.frames.finish().await;
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

    pub(super) fn close(&mut self, error: Option<&HubError>) -> io::Result<()> {
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

    pub(super) fn forget_session(&mut self, channel: u16) -> bool {
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
    fn end_links(&mut self, error: &HubError, meant: impl Fn(&Reading) -> bool) -> io::Result<()> {
        for (channel, handle) in self.readings(meant) {
            self.end_link(channel, handle, error)?;
        }
        Ok(())
    }

    pub(super) fn end_link(
        &mut self,
        channel: u16,
        handle: u32,
        error: &HubError,
    ) -> io::Result<()> {
        self.forget(channel, handle);
        match self.sessions.get(&channel) {
            Some(session) => session.detach(&mut self.frames, handle, Some(wire_error(error))),
            None => Ok(()),
        }
    }

    /// Channels and handles of the partition links that are meant.
    pub(super) fn readings(&self, meant: impl Fn(&Reading) -> bool) -> Vec<(u16, u32)> {
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
                Order::ShortenTokens(left) => self.shorten_claims(left),
                Order::ExpireTokens => {
                    self.claims.clear();
                    self.end_links(&HubError::new("amqp:unauthorized-access"), |_| true)?;
                }
            }
        }
        Ok(())
    }

    fn shorten_claims(&mut self, left: Duration) {
        let left = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
        let latest = (ticks::now() / ticks::SECOND).saturating_add(left);
        for claim in &mut self.claims {
            claim.until = claim.until.min(latest);
        }
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
