//! What goes out on the links, and what goes wrong there.

use super::HubFault;
use super::connection::Connection;
use super::envelope::{self, Metric};
use super::frames::FrameKind;
use super::links::{Feed, Sending, wire_error};
use crate::ticks;
use fe2o3_amqp_types::performatives::End;
use std::io;
use tokio::time::Instant;

impl Connection {
    /// Sends what can be sent, a message of each link in turn.
    pub(super) fn pump(&mut self) -> io::Result<()> {
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
        let Some(link) = self.link_mut(channel, handle) else {
            return Ok(false);
        };
        let spared = std::mem::take(&mut link.spared);
        let partition = link.reading().map(|reading| reading.partition);
        if let Some(partition) = partition
            && let Some(fault) = self.strike_at(partition, spared)
        {
            self.suffer(channel, handle, fault)?;
            if let Some(link) = self.link_mut(channel, handle) {
                link.spared = true;
            }
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
            link.sent();
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

    fn link_mut(&mut self, channel: u16, handle: u32) -> Option<&mut Sending> {
        let session = self.sessions.get_mut(&channel)?;
        session.sending.get_mut(&handle)
    }

    /// Sends the next message of a partition, which stays the next one.
    fn send_and_go_back(&mut self, channel: u16, handle: u32) -> io::Result<()> {
        let reading = self.link(channel, handle).and_then(Sending::reading);
        let before = reading.map(|reading| reading.next);
        self.send_unharmed(channel, handle)?;
        let feed = self.link_mut(channel, handle).map(|link| &mut link.feed);
        if let (Some(Feed::Partition(reading)), Some(before)) = (feed, before) {
            reading.next = before;
        }
        Ok(())
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
                if let Some(link) = self.link_mut(channel, handle) {
                    link.paused_until = Some(Instant::now() + time);
                }
                Ok(())
            }
            HubFault::Trickle {
                messages, pause, ..
            } => {
                if let Some(link) = self.link_mut(channel, handle) {
                    link.trickle = (messages, pause);
                }
                Ok(())
            }
            HubFault::Twice { .. } => self.send_and_go_back(channel, handle),
            _ => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}
