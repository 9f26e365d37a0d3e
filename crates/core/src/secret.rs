//! Passwords, keys, and tokens: where they come from, and a type that never shows them.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret value. Debug, display, and serialization show `***`; memory is wiped on drop.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// The value itself, for the wire and nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

/// Where a secret comes from, as written in the pipeline file.
///
/// A literal, `{ env: NAME }`, `{ file: path }`, or `{ command: [program, argument, ..] }`.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// Written in the file itself; a warning says so.
    Literal(Secret),
    /// An environment variable.
    Env(String),
    /// A file that only its owner and group may read; one trailing line break is cut off.
    File(PathBuf),
    /// What a program prints within ten seconds, at most 64 KiB; one trailing line break is cut off.
    Command(Vec<String>),
}

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set.
    #[error("environment variable {0} is not set")]
    Variable(String),
    /// The file cannot be read.
    #[error("cannot read secret file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Everybody on the machine can read the file.
    #[error("secret file {} can be read by everyone (mode {mode:04o}); run: chmod 600 {}", path.display(), path.display())]
    WorldReadable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The program cannot be run.
    #[error("cannot run secret command {program}")]
    Command {
        /// The program.
        program: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The program failed, took too long, or printed too much.
    #[error("secret command {program} {what}")]
    CommandFailed {
        /// The program.
        program: String,
        /// How it failed.
        what: String,
    },
    /// The value is empty.
    #[error("the secret is empty: {0}")]
    Empty(String),
}

/// How long a secret command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// How much a secret command may print, in KiB; the longest keys and tokens are a few.
const COMMAND_OUTPUT_KIB: usize = 64;

impl SecretSource {
    /// Fetches the value now.
    ///
    /// # Errors
    /// [`SecretError`], which names the source and never the value.
    pub fn resolve(&self, config_dir: &Path) -> Result<Secret, SecretError> {
        let value = match self {
            SecretSource::Literal(secret) => secret.expose().to_owned(),
            SecretSource::Env(name) => {
                std::env::var(name).map_err(|_| SecretError::Variable(name.clone()))?
            }
            SecretSource::File(path) => read_private(&config_dir.join(path))?,
            SecretSource::Command(words) => run(words, COMMAND_LIMIT)?,
        };
        let value = value.strip_suffix('\n').unwrap_or(&value);
        let value = value.strip_suffix('\r').unwrap_or(value);
        if value.is_empty() {
            return Err(SecretError::Empty(self.place(config_dir)));
        }
        Ok(Secret::new(value))
    }

    /// Where the value comes from, for a human.
    fn place(&self, config_dir: &Path) -> String {
        match self {
            SecretSource::Literal(_) => "nothing stands in the pipeline file".to_owned(),
            SecretSource::Env(name) => format!("environment variable {name}"),
            SecretSource::File(path) => format!("file {}", config_dir.join(path).display()),
            SecretSource::Command(words) => {
                let program = words.first().map_or("", String::as_str);
                format!("command {program} printed nothing")
            }
        }
    }

    /// Whether the value stands in the pipeline file itself.
    pub fn is_literal(&self) -> bool {
        matches!(self, SecretSource::Literal(_))
    }
}

fn read_private(path: &Path) -> Result<String, SecretError> {
    let failed = |source| SecretError::File {
        path: path.to_owned(),
        source,
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if metadata.is_dir() {
            // Before anybody is told to change its mode.
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        }
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o007 != 0 {
            return Err(SecretError::WorldReadable {
                path: path.to_owned(),
                mode,
            });
        }
    }
    std::fs::read_to_string(path).map_err(failed)
}

fn run(words: &[String], limit: Duration) -> Result<String, SecretError> {
    let program = words.first().cloned().unwrap_or_default();
    let spawned = Command::new(&program)
        .args(words.iter().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(source) => return Err(SecretError::Command { program, source }),
    };
    output(&mut child, limit).map_err(|what| {
        // Most failures leave nothing to end; whether it can be ended changes nothing for us.
        let _ended = child.kill().and_then(|()| child.wait());
        SecretError::CommandFailed { program, what }
    })
}

/// All that a program prints until it ends, or how it failed.
fn output(child: &mut Child, limit: Duration) -> Result<String, String> {
    let deadline = Instant::now() + limit;
    let printed = printed(child).recv_timeout(limit);
    let printed = printed.map_err(|_| too_late(child, limit))?;
    let printed = printed.map_err(|error| format!("cannot be read: {error}"))?;
    if printed.len() > COMMAND_OUTPUT_KIB << 10 {
        return Err(format!("printed more than {COMMAND_OUTPUT_KIB} KiB"));
    }
    match status(child, deadline).map_err(|error| format!("cannot be waited for: {error}"))? {
        None => Err(too_late(child, limit)),
        Some(status) if !status.success() => Err(format!("failed: {status}")),
        Some(_) => String::from_utf8(printed).map_err(|_| "did not print UTF-8 text".to_owned()),
    }
}

/// Reads on a thread of its own: programs that the program started may hold its output for ever,
/// and then the thread is left behind.
fn printed(child: &mut Child) -> mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let stdout = child.stdout.take().expect("stdout is piped");
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // One byte more than allowed tells too much from just enough.
        let mut stdout = stdout.take(((COMMAND_OUTPUT_KIB as u64) << 10) + 1);
        let result = stdout.read_to_end(&mut bytes).map(|_| bytes);
        // Nobody waits any more when the time is up.
        let _late = sender.send(result);
    });
    receiver
}

/// How the program ended; nothing if it still runs at the deadline.
fn status(child: &mut Child, deadline: Instant) -> std::io::Result<Option<ExitStatus>> {
    loop {
        match child.try_wait()? {
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            status => return Ok(status),
        }
    }
}

/// Who took too long: the program itself, or something it left running.
fn too_late(child: &mut Child, limit: Duration) -> String {
    match child.try_wait() {
        Ok(Some(_)) => format!(
            "ended, but something that it started kept its output open for longer than {limit:?}"
        ),
        _ => format!("took longer than {limit:?}"),
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret: text, { env: NAME }, { file: path }, or { command: [program, ..] }")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<SecretSource, E> {
        Ok(SecretSource::Literal(Secret::new(value)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretSource, A::Error> {
        const FORMS: &[&str] = &["env", "file", "command"];
        let form = map.next_key::<String>()?.ok_or_else(|| {
            de::Error::custom("expected one of env, file, command, found nothing")
        })?;
        let source = match form.as_str() {
            "env" => SecretSource::Env(map.next_value()?),
            "file" => SecretSource::File(map.next_value()?),
            "command" => SecretSource::Command(map.next_value()?),
            other => return Err(de::Error::unknown_field(other, FORMS)),
        };
        if let Some(second) = map.next_key::<String>()? {
            return Err(de::Error::custom(format!(
                "a secret comes from one place, found {form} and {second}"
            )));
        }
        Ok(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(json: &str) -> Result<String, String> {
        let source: SecretSource = serde_json::from_str(json).map_err(|e| e.to_string())?;
        source
            .resolve(Path::new("."))
            .map(|secret| secret.expose().to_owned())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("hunter2");
        let source = SecretSource::Literal(secret.clone());
        let json = serde_json::to_string(&secret).expect("serializes");
        for text in [format!("{secret} {secret:?} {source:?}"), json] {
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn every_form_yields_its_value_without_the_trailing_line_break() {
        assert_eq!(resolve(r#""plain""#).as_deref(), Ok("plain"));
        assert_eq!(
            resolve(r#"{"command":["printf","%s\n","from command"]}"#).as_deref(),
            Ok("from command")
        );
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), "from file\n").expect("written");
        let json = format!(r#"{{"file":{:?}}}"#, file.path());
        assert_eq!(resolve(&json).as_deref(), Ok("from file"));
    }

    #[test]
    fn a_secret_that_cannot_be_had_says_why() {
        let check = |json: &str, expected: &str| {
            let error = resolve(json).expect_err("no value");
            assert!(error.contains(expected), "{error}");
        };
        check(
            r#"{"env":"TAPLINE_TEST_UNSET"}"#,
            "TAPLINE_TEST_UNSET is not set",
        );
        check(r#"{"file":"/nonexistent/secret"}"#, "/nonexistent/secret");
        check(r#"{"command":["false"]}"#, "false failed");
        check(r#"{"env":"A","file":"b"}"#, "found env and file");
        check(r#"{"vault":"x"}"#, "unknown field `vault`");
        check(r#""""#, "empty");
        check(r#"{"command":["true"]}"#, "command true printed nothing");
        check(r#"{"file":"/"}"#, "cannot read secret file /");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_does_not_come_to_an_end_is_not_waited_for() {
        let begin = Instant::now();
        let check = |words: &[&str], expected: &str| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let error = run(&words, Duration::from_millis(300)).expect_err("no value");
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(&["sleep", "20"], "sleep took longer than 300ms");
        check(
            &["sh", "-c", "exec >&-; sleep 20"],
            "took longer than 300ms",
        );
        check(&["sh", "-c", "sleep 20 & echo x"], "longer than 300ms");
        assert!(begin.elapsed() < Duration::from_secs(15));
    }

    #[cfg(unix)]
    #[test]
    fn a_command_may_print_64_kib_and_no_more() {
        let print = |bytes: usize| {
            let script = format!("head -c {bytes} /dev/zero");
            run(&["sh".into(), "-c".into(), script], COMMAND_LIMIT)
        };
        assert_eq!(print(64 << 10).map(|text| text.len()).ok(), Some(64 << 10));
        for bytes in [(64 << 10) + 1, 64 << 20] {
            let error = print(bytes).expect_err("too much").to_string();
            assert!(error.contains("printed more than 64 KiB"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_world_readable_secret_file_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644))
            .expect("permissions");
        let error = resolve(&format!(r#"{{"file":{:?}}}"#, file.path())).expect_err("refused");
        assert!(error.contains("chmod 600"), "{error}");
    }
}
