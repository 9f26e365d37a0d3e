//! Dead letters on their way back: the source that hands them to the components that rejected them.
//!
//! `Shelf::replay` leaves a file; its component is a partition here, and what was settled of it is
//! a checkpoint like any other. A file that is settled to its end is deleted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tapline_core::{
    Batch, Control, Cursor, Event, OpenError, Partition, Source, SourceContext, SourceError,
    StreamIdentity,
};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::files::file_name;
use super::letter::{self, Schemas};
use super::shelf::{ndjson_in, replay_folder};

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes of a file that are handed over together.
const BATCH: u64 = 256 << 10;

/// Reads what is to be sent again.
pub(crate) struct Replay {
    folder: PathBuf,
    /// Ids of components by what their files are called.
    components: BTreeMap<String, String>,
}

impl Replay {
    /// For the components of a topology.
    pub(crate) fn new<'a>(data_dir: &Path, components: impl Iterator<Item = &'a str>) -> Self {
        Self {
            folder: replay_folder(data_dir),
            components: components
                .map(|id| (file_name(id), id.to_owned()))
                .collect(),
        }
    }

    /// The components that have something to be sent again.
    fn waiting(&self, told: &mut Vec<PathBuf>) -> Vec<String> {
        let mut waiting = Vec::new();
        for path in self.files() {
            match self.components.get(component_of(&path)) {
                Some(id) if !waiting.contains(id) => waiting.push(id.clone()),
                Some(_) => {}
                None if told.contains(&path) => {}
                None => {
                    warn!(file = %path.display(), "dead letters of a component that is not in the pipeline wait to be sent again");
                    told.push(path);
                }
            }
        }
        waiting
    }

    fn files(&self) -> Vec<PathBuf> {
        match ndjson_in(&self.folder) {
            Ok(files) => files.into_iter().collect(),
            Err(_) => Vec::new(),
        }
    }
}

/// `lake.ndjson` of `0001.lake.ndjson`.
fn component_of(path: &Path) -> &str {
    let name = path.file_name().and_then(|name| name.to_str());
    let after_time = name.and_then(|name| name.split_once('.'));
    after_time.map_or("", |(_, component)| component)
}

#[async_trait]
impl Source for Replay {
    async fn run(&mut self, cx: SourceContext) -> Result<(), SourceError> {
        let mut running: JoinSet<String> = JoinSet::new();
        let mut busy: Vec<String> = Vec::new();
        let mut told = Vec::new();
        loop {
            for component in self.waiting(&mut told) {
                if !busy.contains(&component) {
                    busy.push(component.clone());
                    running.spawn(run(self.folder.clone(), component, cx.clone()));
                }
            }
            tokio::select! {
                () = cx.stopped() => return Ok(()),
                Some(done) = running.join_next() => {
                    let done = done.map_err(|error| SourceError(error.to_string()))?;
                    busy.retain(|component| *component != done);
                }
                () = sleep(LOOK) => {}
            }
        }
    }
}

/// Hands over all files of a component, oldest first.
async fn run(folder: PathBuf, component: String, cx: SourceContext) -> String {
    let stream = StreamIdentity {
        source: "dead_letters".to_owned(),
        parts: vec![("component".to_owned(), component.clone())],
    };
    match cx.open(&component, stream).await {
        Ok(partition) => {
            let mut reading = Reading {
                place: Place::of_cursor(&partition.checkpoint().cursor),
                folder,
                component: component.clone(),
                schemas: Schemas::default(),
            };
            tokio::select! {
                () = cx.stopped() => {}
                () = reading.run(partition) => {}
            }
        }
        Err(OpenError::Stopped(_)) => {}
        Err(error) => error!(component, %error, "dead letters cannot be sent again"),
    }
    component
}

/// Up to where files were read: a name, and bytes into that file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Place {
    file: String,
    offset: u64,
}

impl Place {
    fn to_cursor(&self) -> Cursor {
        Cursor::new(format!("{}:{}", self.offset, self.file).into_bytes())
    }

    fn of_cursor(cursor: &Cursor) -> Self {
        let text = std::str::from_utf8(cursor.as_bytes()).unwrap_or_default();
        let parts = text.split_once(':');
        let read = parts.and_then(|(offset, file)| Some((offset.parse().ok()?, file)));
        read.map_or_else(Self::default, |(offset, file)| Self {
            file: file.to_owned(),
            offset,
        })
    }
}

struct Reading {
    folder: PathBuf,
    component: String,
    place: Place,
    schemas: Schemas,
}

impl Reading {
    /// Until nothing is left, or the runtime takes no more.
    async fn run(&mut self, mut partition: Partition) {
        while let Some(path) = self.next_file() {
            let lines = match self.read(&path) {
                Ok(lines) => lines,
                Err(error) => {
                    error!(file = %path.display(), %error, "dead letters cannot be sent again");
                    return;
                }
            };
            let is_end = lines.is_end;
            let batch = Batch::new(self.place.to_cursor(), lines.events);
            if partition.send(batch).await.is_err() {
                return;
            }
            if is_end && !self.is_settled(&mut partition).await {
                return;
            }
            if is_end && self.place_is_end_of(&path) {
                info!(component = self.component, file = %path.display(), "dead letters were sent again");
                if let Err(error) = fs::remove_file(&path) {
                    error!(file = %path.display(), %error, "a file of dead letters that were sent again cannot be deleted");
                    return;
                }
            }
        }
    }

    /// Waits until all is settled; after a rewind the place is another one. False if the runtime
    /// takes no more.
    async fn is_settled(&mut self, partition: &mut Partition) -> bool {
        let mut settled = partition.settled();
        loop {
            if *settled.borrow_and_update() == self.place.to_cursor() {
                return true;
            }
            tokio::select! {
                control = partition.control() => match control {
                    Control::Stop | Control::Revoked => return false,
                    Control::Rewind(checkpoint) => {
                        self.place = Place::of_cursor(&checkpoint.cursor);
                        return true;
                    }
                },
                changed = settled.changed() => if changed.is_err() {
                    return false;
                },
            }
        }
    }

    fn place_is_end_of(&self, path: &Path) -> bool {
        let length = fs::metadata(path).map(|file| file.len());
        self.place.file == name_of(path) && length.is_ok_and(|length| self.place.offset >= length)
    }

    /// The oldest file that is not read to its end.
    fn next_file(&self) -> Option<PathBuf> {
        let files = ndjson_in(&self.folder).unwrap_or_default();
        let wanted = file_name(&self.component);
        let mut files = files
            .into_iter()
            .filter(|path| component_of(path) == wanted);
        files.find(|path| *name_of(path) >= *self.place.file)
    }

    fn read(&mut self, path: &Path) -> io::Result<Lines> {
        let name = name_of(path);
        if self.place.file != name {
            self.place = Place {
                file: name,
                offset: 0,
            };
        }
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.place.offset))?;
        let mut reader = BufReader::new(file);
        let mut lines = Lines::default();
        let (mut line, mut read) = (Vec::new(), 0);
        while read < BATCH {
            let bytes = reader.read_until(b'\n', &mut line)?;
            if bytes == 0 {
                lines.is_end = true;
                break;
            }
            read += bytes as u64;
            lines.events.extend(self.event(&line));
            line.clear();
        }
        self.place.offset += read;
        Ok(lines)
    }

    fn event(&mut self, line: &[u8]) -> Option<Event> {
        let letter = letter::decode(line);
        match letter.and_then(|letter| letter.event(&mut self.schemas)) {
            Ok(event) => Some(event),
            Err(error) => {
                error!(component = self.component, %error, "a line of the dead letters cannot be sent again");
                None
            }
        }
    }
}

#[derive(Default)]
struct Lines {
    events: Vec<Event>,
    is_end: bool,
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
