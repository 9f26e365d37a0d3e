//! The normalizer itself: one record in, one event out. It needs no runtime.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tapline_core::Metadata;

use crate::cef::{CefMappings, CefWriter, Losses};
use crate::config::{NormalizeConfig, To};
use crate::coverage::Coverage;
use crate::edits::Edits;
use crate::engine::{Run, Scratch};
use crate::error::NormalizeError;
use crate::json::Tape;
use crate::mapping::{Files, MappingProblem, Target};
use crate::schema::{EventScratch, Plan};

pub use crate::schema::FieldCounts;

/// Why mapping files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MappingsError {
    /// The operator's folder, or a file in it, cannot be read.
    #[error("reading mapping files of {folder}")]
    Read {
        /// The folder.
        folder: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Files that could make events which are not valid, or are not mapping files at all.
    #[error("{}", lines(.0))]
    Wrong(Vec<MappingProblem>),
}

fn lines(problems: &[MappingProblem]) -> String {
    let lines: Vec<String> = problems.iter().map(MappingProblem::to_string).collect();
    lines.join("\n")
}

/// Compiled mapping files. Made once, shared by all normalizers.
#[derive(Debug)]
pub struct Mappings {
    plans: Plans,
    edits: Edits,
    observables: bool,
}

#[derive(Debug)]
enum Plans {
    /// JSON by a schema.
    Events(EventMappings),
    Cef(CefMappings),
}

#[derive(Debug)]
struct EventMappings {
    by_kind: HashMap<String, Plan>,
    /// Of everything that has no mapping of its own.
    base: Plan,
    /// What the header `schema` says.
    schema: &'static str,
}

impl Mappings {
    /// Reads, proves, and compiles the mapping files; `config_dir` is where a relative
    /// `mappings` folder starts.
    ///
    /// # Errors
    /// [`MappingsError`] with every mistake of every file.
    pub fn load(config: &NormalizeConfig, config_dir: &Path) -> Result<Self, MappingsError> {
        let mut files = Files::embedded();
        if let Some(folder) = &config.mappings {
            let folder = config_dir.join(folder);
            files
                .add_folder(&folder)
                .map_err(|source| MappingsError::Read {
                    folder: folder.display().to_string(),
                    source,
                })?;
        }
        let plans = match config.to {
            To::Cef | To::Leef => Plans::Cef(
                CefMappings::load(&files, &config.cef_options()).map_err(MappingsError::Wrong)?,
            ),
            To::Ocsf => Plans::Events(
                EventMappings::load(&files, Target::Ocsf, "ocsf/1.8.0")
                    .map_err(MappingsError::Wrong)?,
            ),
            To::Ecs => Plans::Events(
                EventMappings::load(&files, Target::Ecs, "ecs/8.11")
                    .map_err(MappingsError::Wrong)?,
            ),
        };
        Ok(Self {
            plans,
            edits: config.edits(),
            observables: config.observables,
        })
    }

    /// What the header `schema` says of events.
    pub fn schema(&self) -> &'static str {
        match &self.plans {
            Plans::Events(mappings) => mappings.schema,
            Plans::Cef(mappings) => mappings.schema(),
        }
    }
}

impl EventMappings {
    fn load(
        files: &Files,
        target: Target,
        schema: &'static str,
    ) -> Result<Self, Vec<MappingProblem>> {
        let mut by_kind = HashMap::new();
        let mut problems = Vec::new();
        for (name, kind, text) in files.kinds(target) {
            match Plan::compile(files, name, text, target) {
                Ok(plan) => drop(by_kind.insert(kind, plan)),
                Err(found) => problems.extend(found),
            }
        }
        let name = format!("{}/base_event.yaml", target.folder());
        let text = files.get(&name).unwrap_or_default();
        match Plan::compile(files, &name, text, target) {
            Ok(base) if problems.is_empty() => Ok(Self {
                by_kind,
                base,
                schema,
            }),
            Ok(_) => Err(problems),
            Err(found) => {
                problems.extend(found);
                Err(problems)
            }
        }
    }
}

/// Normalizes records one after another, with memory that it keeps.
#[derive(Debug)]
pub struct Normalizer {
    mappings: Arc<Mappings>,
    tape: Tape,
    scratch: Scratch,
    events: EventScratch,
    cef: CefWriter,
    buffer: Vec<u8>,
}

impl Normalizer {
    /// A normalizer with compiled mapping files.
    pub fn new(mappings: Arc<Mappings>) -> Self {
        Self {
            mappings,
            tape: Tape::default(),
            scratch: Scratch::default(),
            events: EventScratch::default(),
            cef: CefWriter::default(),
            buffer: Vec::new(),
        }
    }

    /// What the header `schema` says of the events made here.
    pub fn schema(&self) -> &'static str {
        self.mappings.schema()
    }

    /// What the last event had to leave out (CEF only).
    pub(crate) fn losses(&self) -> Losses {
        self.cef.losses()
    }

    /// Notes from now on which field of which kind went where (OCSF only).
    pub fn watch(&mut self) {
        self.events.fields = Some(Vec::new());
    }

    /// Adds what was noted of the last record.
    pub fn add_to(&mut self, kind: &str, coverage: &mut Coverage) {
        coverage.add(
            kind,
            self.events
                .fields
                .iter_mut()
                .flat_map(|fields| fields.drain(..)),
        );
    }

    /// Appends the event of a record to `out`.
    ///
    /// # Errors
    /// [`NormalizeError`]; nothing is appended then.
    pub fn normalize(
        &mut self,
        meta: &Metadata,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<FieldCounts, NormalizeError> {
        let body = self.read(body)?;
        match &self.mappings.plans {
            Plans::Cef(mappings) => {
                let line = write_cef(
                    mappings,
                    meta,
                    body,
                    &mut self.tape,
                    &mut self.scratch,
                    &mut self.cef,
                )?;
                out.extend_from_slice(&line);
                Ok(FieldCounts::default())
            }
            Plans::Events(EventMappings { by_kind, base, .. }) => {
                let plan = by_kind.get(meta.kind.as_str());
                let observe = self.mappings.observables;
                for plan in plan.into_iter().chain([base]) {
                    let mut run = Run::new(
                        body,
                        meta,
                        &mut self.tape,
                        &plan.shapes,
                        &plan.selections,
                        &mut self.scratch,
                    );
                    if let Some(counts) = plan.write(&mut run, observe, &mut self.events, out) {
                        return Ok(counts);
                    }
                }
                unreachable!("the base mapping needs nothing of the record: a test proves it")
            }
        }
    }

    /// The event of a record, as bytes of its own: the only memory asked for per record. CEF and LEEF
    /// have no place for what no rule takes, so that there is nothing to count of them.
    ///
    /// # Errors
    /// [`NormalizeError`].
    pub fn event(
        &mut self,
        meta: &Metadata,
        body: &[u8],
    ) -> Result<(Bytes, Option<FieldCounts>), NormalizeError> {
        let mappings = Arc::clone(&self.mappings);
        if let Plans::Cef(mappings) = &mappings.plans {
            let body = self.read(body)?;
            let line = write_cef(
                mappings,
                meta,
                body,
                &mut self.tape,
                &mut self.scratch,
                &mut self.cef,
            )?;
            return Ok((line, None));
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let counts = self.normalize(meta, body, &mut buffer);
        let bytes = Bytes::copy_from_slice(&buffer);
        self.buffer = buffer;
        Ok((bytes, Some(counts?)))
    }

    fn read<'b>(&mut self, body: &'b [u8]) -> Result<&'b str, NormalizeError> {
        let body = text(body)?;
        self.tape.read(body)?;
        self.mappings.edits.apply(&mut self.tape, body);
        Ok(body)
    }
}

/// A record as text. Only what is not UTF-8 is looked at again, for the place where that begins.
fn text(body: &[u8]) -> Result<&str, NormalizeError> {
    let text = simdutf8::basic::from_utf8(body);
    text.or_else(|_| Ok(std::str::from_utf8(body)?))
}

fn write_cef(
    mappings: &CefMappings,
    meta: &Metadata,
    body: &str,
    tape: &mut Tape,
    scratch: &mut Scratch,
    writer: &mut CefWriter,
) -> Result<Bytes, NormalizeError> {
    let plan = mappings.plan(meta.kind.as_str());
    let mut run = plan.run(body, meta, tape, scratch);
    Ok(writer.write(plan, &mut run)?)
}
