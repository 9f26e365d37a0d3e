//! AMQP frames on a stream of bytes.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_amqp::de::Deserializer;
use serde_amqp::read::IoReader;
use std::fmt::Debug;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

/// Bytes before a frame's body: size, offset, type, channel.
pub(super) const HEAD: usize = 8;
/// The largest frame that the hub takes. Source: the service's Open, quoted in Azure/azure-sdk-for-python#5316.
pub(super) const LARGEST: usize = 65_536;
/// What fits into the output at once; more is made when some of it is sent.
const ENOUGH: usize = 256 * 1024;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    Amqp = 0,
    Sasl = 1,
}

/// One frame as it came.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) channel: u16,
    /// Empty in a heartbeat.
    pub(super) body: Bytes,
}

impl Frame {
    /// Reads the performative, and what stands behind it.
    pub(super) fn read<T: DeserializeOwned>(&self) -> io::Result<(T, Bytes)> {
        let mut rest = &self.body[..];
        let mut deserializer = Deserializer::new(IoReader::new(&mut rest));
        let performative = T::deserialize(&mut deserializer).map_err(io::Error::other)?;
        drop(deserializer);
        let payload = self.body.slice(self.body.len() - rest.len()..);
        Ok((performative, payload))
    }
}

/// What AMQP can be spoken over: TCP, TLS, or a WebSocket.
pub(super) trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Stream for T {}

/// The two directions of a stream, and the bytes that wait in each.
#[derive(Debug)]
pub(super) struct Frames {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    input: BytesMut,
    output: BytesMut,
    /// Whether the stream may hold back some of what was written to it, as TLS does.
    held_back: bool,
    /// The largest frame that the other side takes.
    pub(super) largest: usize,
}

impl Frames {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader,
            writer,
            input: BytesMut::new(),
            output: BytesMut::new(),
            held_back: false,
            largest: 512,
        }
    }

    /// Whether so much waits to be sent that no more should be made.
    pub(super) fn is_full(&self) -> bool {
        self.output.len() >= ENOUGH
    }

    /// Whether everything was handed to the system.
    pub(super) fn is_sent(&self) -> bool {
        self.output.is_empty() && !self.held_back
    }

    /// Sends and receives what can be, once.
    ///
    /// # Cancel safety
    /// No byte is lost when this is dropped.
    pub(super) async fn move_bytes(&mut self) -> io::Result<()> {
        let waits = !self.is_sent();
        tokio::select! {
            sent = send(&mut self.writer, &mut self.output, &mut self.held_back), if waits => sent,
            received = self.reader.read_buf(&mut self.input) => match received? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(()),
            },
        }
    }

    /// Sends all that waits.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.writer.write_all_buf(&mut self.output).await?;
        self.writer.flush().await
    }

    /// Sends all that waits, and says that no more comes.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.writer.shutdown().await
    }

    /// Waits for a protocol header and gives its protocol id.
    pub(super) async fn protocol(&mut self) -> io::Result<u8> {
        while self.input.len() < HEAD {
            self.move_bytes().await?;
        }
        let header = self.input.split_to(HEAD);
        match header[..] {
            [b'A', b'M', b'Q', b'P', protocol, 1, 0, 0] => Ok(protocol),
            _ => Err(io::Error::other("no AMQP 1.0 header")),
        }
    }

    pub(super) fn put_protocol(&mut self, protocol: u8) {
        self.output
            .extend_from_slice(&[b'A', b'M', b'Q', b'P', protocol, 1, 0, 0]);
    }

    /// Waits for a frame.
    pub(super) async fn wait(&mut self) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.next()? {
                return Ok(frame);
            }
            self.move_bytes().await?;
        }
    }

    /// The next frame that is whole.
    pub(super) fn next(&mut self) -> io::Result<Option<Frame>> {
        let Some(head) = self.input.first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let (offset, channel) = (
            usize::from(head[4]) * 4,
            u16::from_be_bytes([head[6], head[7]]),
        );
        if size > LARGEST || offset < HEAD || offset > size {
            return Err(io::Error::other("a frame of a size that cannot be"));
        }
        if self.input.len() < size {
            return Ok(None);
        }
        let body = self.input.split_to(size).freeze().slice(offset..);
        Ok(Some(Frame { channel, body }))
    }

    /// Makes a frame. `fields` is how many fields the performative has when none is left out: the service writes them all, and
    /// Microsoft's Python client cannot do without (seen in azure-eventhub 5.15).
    pub(super) fn put<T: Serialize>(
        &mut self,
        kind: FrameKind,
        channel: u16,
        fields: u8,
        performative: &T,
        payload: &[u8],
    ) -> io::Result<()> {
        let mut body = serde_amqp::to_vec(performative).map_err(io::Error::other)?;
        fill_up(&mut body, fields);
        self.output
            .put_u32((HEAD + body.len() + payload.len()) as u32);
        self.output.put_slice(&[2, kind as u8]);
        self.output.put_u16(channel);
        self.output.put_slice(&body);
        self.output.put_slice(payload);
        Ok(())
    }

    /// A frame without a body, which says only that this side is alive.
    pub(super) fn put_heartbeat(&mut self) {
        self.output.put_slice(&[0, 0, 0, 8, 2, 0, 0, 0]);
    }

    /// Takes back the last so many bytes that were put.
    pub(super) fn cut(&mut self, bytes: usize) {
        let kept = self.output.len().saturating_sub(bytes);
        self.output.truncate(kept);
    }
}

/// Hands some of the output to the stream, or makes the stream send what it holds back.
///
/// # Cancel safety
/// No byte is lost when this is dropped.
async fn send(
    writer: &mut WriteHalf<Box<dyn Stream>>,
    output: &mut BytesMut,
    held_back: &mut bool,
) -> io::Result<()> {
    if output.is_empty() {
        writer.flush().await?;
        *held_back = false;
    } else {
        writer.write_buf(output).await?;
        *held_back = true;
    }
    Ok(())
}

/// Writes the trailing fields of a described list that were left out, as nulls.
fn fill_up(body: &mut Vec<u8>, fields: u8) {
    const NULL: u8 = 0x40;
    // 0x00, the descriptor as a small ulong, then the list in one of its three encodings (AMQP 1.0, 1.6.22)
    let (count, start) = match body.get(3) {
        Some(0x45) => (0, 4),
        Some(0xc0) if body.len() > 5 => (usize::from(body[5]), 6),
        Some(0xd0) if body.len() > 11 => (
            u32::from_be_bytes([body[8], body[9], body[10], body[11]]) as usize,
            12,
        ),
        _ => return,
    };
    let mut items = body.split_off(start);
    items.resize(
        items.len() + usize::from(fields).saturating_sub(count),
        NULL,
    );
    body.truncate(3);
    body.push(0xd0);
    body.extend_from_slice(&(items.len() as u32 + 4).to_be_bytes());
    body.extend_from_slice(&(count.max(usize::from(fields)) as u32).to_be_bytes());
    body.append(&mut items);
}

#[cfg(test)]
mod tests {
    use super::*;
    use fe2o3_amqp_types::performatives::{Close, Detach};

    #[test]
    fn no_field_is_left_out_and_the_meaning_stays() {
        let detach = Detach {
            handle: 7.into(),
            closed: true,
            error: None,
        };
        let mut body = serde_amqp::to_vec(&detach).unwrap();
        fill_up(&mut body, 3);
        assert_eq!(body[8..12], [0, 0, 0, 3]);
        assert_eq!(serde_amqp::from_slice::<Detach>(&body).unwrap(), detach);

        let mut body = serde_amqp::to_vec(&Close { error: None }).unwrap();
        fill_up(&mut body, 1);
        assert_eq!(
            serde_amqp::from_slice::<Close>(&body).unwrap(),
            Close { error: None }
        );
    }
}
