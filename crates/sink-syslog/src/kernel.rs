//! What the kernel knows of a TCP connection that its user is not told otherwise.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// The state of a connection, as far as it matters to whoever waits for a confirmation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// Both sides are open, and the receiver's kernel has taken everything that was sent.
    Confirmed,
    /// Both sides are open, and something is still on its way.
    Sending,
    /// The receiver sends no more: it closed the connection.
    Closed,
    /// The connection is gone: reset, or given up.
    Reset,
}

/// Asks the kernel.
///
/// Offsets and states of `TCP_INFO`: `include/uapi/linux/tcp.h` and `include/net/tcp_states.h`
/// of Linux 6.1; the fields read have kept their places since 4.6.
///
/// # Errors
/// When the kernel cannot say.
#[cfg(target_os = "linux")]
pub(crate) fn state(stream: &TcpStream) -> io::Result<State> {
    use std::os::fd::AsRawFd;

    const UNACKED_SEGMENTS: usize = 24;
    const NOT_SENT_BYTES: usize = 144;
    const ESTABLISHED: u8 = 1;
    const CLOSE: u8 = 7;

    let mut info = [0_u8; NOT_SENT_BYTES + 4];
    let (level, option) = (uapi::c::IPPROTO_TCP, uapi::c::TCP_INFO);
    let filled = uapi::getsockopt(stream.as_raw_fd(), level, option, &mut info[..])?;
    if filled < info.len() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let none = |at: usize| info[at..at + 4] == [0; 4];
    Ok(match info[0] {
        ESTABLISHED if none(UNACKED_SEGMENTS) && none(NOT_SENT_BYTES) => State::Confirmed,
        ESTABLISHED => State::Sending,
        CLOSE => State::Reset,
        _ => State::Closed,
    })
}

/// Elsewhere a write that succeeded has to do.
#[cfg(not(target_os = "linux"))]
pub(crate) fn state(stream: &TcpStream) -> io::Result<State> {
    let error = SockRef::from(stream).take_error()?;
    Ok(error.map_or(State::Confirmed, |_| State::Reset))
}

/// How long a connection may be silent before the kernel asks whether the receiver still lives.
const IDLE: Duration = Duration::from_secs(30);
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// Makes the kernel notice a receiver that vanished: while idle within about a minute, while
/// sending within `patience`.
///
/// # Errors
/// When the kernel refuses an option.
pub(crate) fn watch(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(IDLE)
        .with_interval(PROBE_EVERY);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(patience))?;
    Ok(())
}

/// Whether a close throws away what is unsent, instead of sending it first.
///
/// # Errors
/// When the kernel refuses the option.
pub(crate) fn abort_on_close(stream: &TcpStream, abort: bool) -> io::Result<()> {
    SockRef::from(stream).set_linger(abort.then_some(Duration::ZERO))
}
