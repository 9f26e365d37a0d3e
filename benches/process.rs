//! What a process used so far, as Linux tells it.

use anyhow::Context;

/// Length of a tick of processor time in seconds: `USER_HZ` is 100 on every Linux that we know.
const TICK: f64 = 0.01;

/// Processor time in seconds, user and system, of all threads. Source: proc(5), `stat`.
pub(crate) fn processor_seconds(id: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    let (_name, rest) = stat.rsplit_once(')').context("no name in stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<f64>().ok())
    };
    let (user, system) = (ticks(11).context("utime")?, ticks(12).context("stime")?);
    Ok((user + system) * TICK)
}

/// Resident memory in MB (10^6 bytes): now, and the most so far.
pub(crate) fn resident_megabytes(id: u32) -> anyhow::Result<(f64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024.0 / 1e6)
    };
    let now = value("VmRSS:").context("VmRSS")?;
    Ok((now, value("VmHWM:").context("VmHWM")?))
}
