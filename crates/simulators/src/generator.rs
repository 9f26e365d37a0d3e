//! Makes records by a seed: alerts and incidents of Graph, detections of the legacy exporter, rows of the streamed tables.
//!
//! The same seed makes the same records in the same order whatever the time is; only their times, and how late they come, depend
//! on the clock.

pub(crate) mod enums;
mod evidence;
mod graph;
mod hunting;
mod samples;
mod scene;
mod siem;
mod story;
mod table;
mod write;

use crate::faults::{Faults, Named};
use crate::settings::{Settings, StartError};
use crate::ticks::{self, SECOND};
use crate::world::{Kind, Publication, Record};
use bytes::Bytes;
use evidence::Shapes;
use hunting::Hunting;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use samples::Samples;
use scene::Cast;
use std::sync::Arc;
use story::{STORIES, Story};
use tokio::time::Instant;
use write::Json;

/// Rows of each kind that share one time in a tie.
const TIED_ROWS: u64 = 120;
/// New alerts join one of so many youngest incidents.
const OPEN_INCIDENTS: u64 = 8;
/// The number of the first incident.
const FIRST_INCIDENT: u64 = 40_001;

/// What a call of [`Generator::make`] gives.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) publications: Vec<Publication>,
    /// Incidents that must never be expanded. To be told to the server before they are published.
    pub(crate) unexpandable: Vec<String>,
}

/// A Graph record that newer versions may replace. Its unchanging parts come from its number.
#[derive(Debug, Clone, Copy)]
struct Living {
    number: u64,
    /// The number of the incident that it is, or belongs to.
    incident: u64,
    created: i64,
    revision: u32,
}

/// Makes records.
#[derive(Debug)]
pub(crate) struct Generator {
    seed: u64,
    faults: Faults,
    tenant: Arc<str>,
    shapes: Shapes,
    cast: Cast,
    samples: Samples,
    rng: StdRng,
    /// How many versions were made.
    made: u64,
    /// How many incidents there are.
    incidents: u64,
    poisoned: u64,
    last: i64,
    /// Versions still to make with the time of a tie.
    tied: u64,
    /// Whether the current version is one of a tie.
    in_tie: bool,
    living_alerts: Vec<Living>,
    living_incidents: Vec<Living>,
    json: Json,
    /// Makes every second version, if rows are streamed.
    hunting: Option<Hunting>,
    /// How many rows were made.
    rows: u64,
}

/// One version, written but not yet dressed.
struct Written {
    id: String,
    incident: Option<Arc<str>>,
}

impl Generator {
    /// # Errors
    /// [`StartError::Samples`] when templates are asked for and cannot be had.
    pub(crate) fn new(settings: &Settings, tenant: Arc<str>) -> Result<Self, StartError> {
        let mut rng = StdRng::seed_from_u64(settings.seed ^ 0x7461_706c_696e_6500);
        let samples = settings
            .samples
            .as_deref()
            .map(Samples::load)
            .transpose()?
            .unwrap_or_default();
        Ok(Self {
            seed: settings.seed,
            faults: settings.faults.clone(),
            tenant,
            shapes: Shapes::new(),
            cast: Cast::new(&mut rng),
            samples,
            rng,
            made: 0,
            incidents: 0,
            poisoned: 0,
            last: 0,
            tied: 0,
            in_tie: false,
            living_alerts: Vec::new(),
            living_incidents: Vec::new(),
            json: Json::default(),
            hunting: settings.hub.then(|| Hunting::new(settings.rate)),
            rows: 0,
        })
    }

    /// Makes so many versions at this time, and all the rest of a tie that begins among them, but never more than `left`.
    pub(crate) fn make(&mut self, count: u64, left: u64, now: i64) -> Made {
        let mut made = Made::default();
        while (made.publications.len() as u64) < left
            && (self.tied > 0 || (made.publications.len() as u64) < count)
        {
            let publication = match self.row(now) {
                Some(row) => row,
                None => self.next(now, &mut made.unexpandable),
            };
            made.publications.push(publication);
        }
        made
    }

    /// A row, if one is due: there are as many as there are versions of all other kinds.
    fn row(&mut self, now: i64) -> Option<Publication> {
        let hunting = self.hunting.as_mut().filter(|_| self.rows < self.made)?;
        self.rows += 1;
        let row = hunting.row(
            self.rows,
            now,
            &self.tenant,
            &self.cast,
            &mut self.rng,
            &mut self.json,
        );
        let record = Record {
            id: row.id.into(),
            version: "1".into(),
            updated: now,
            created: now,
            incident: None,
            body: row.properties,
        };
        Some(Publication {
            kind: Kind::Hunting(row.kind, row.message),
            tenant: Arc::clone(&self.tenant),
            record,
            visible_at: row.visible_at,
        })
    }

    fn next(&mut self, now: i64, unexpandable: &mut Vec<String>) -> Publication {
        let updated = self.time(now);
        let kind = [Kind::Incident, Kind::Alert, Kind::Detection][(self.made % 3) as usize];
        self.made += 1;
        let visible_at = Instant::now() + self.lateness();
        let late = visible_at > Instant::now();
        let (written, created) = match kind {
            Kind::Alert | Kind::Incident => self.living(kind, updated, late, unexpandable),
            _ => (self.detection(updated), updated),
        };
        let version = if kind == Kind::Detection {
            ticks::full(updated)
        } else {
            ticks::trimmed(updated)
        };
        let body = Bytes::copy_from_slice(&self.json.out);
        let Written { id, incident } = written;
        let record = Record {
            id: id.into(),
            version: version.into(),
            updated,
            created,
            incident,
            body,
        };
        Publication {
            kind,
            tenant: Arc::clone(&self.tenant),
            record,
            visible_at,
        }
    }

    /// The time of the next version: later than all before, except within a tie.
    fn time(&mut self, now: i64) -> i64 {
        self.in_tie = self.tied > 0;
        if self.in_tie {
            self.tied -= 1;
            return self.last;
        }
        if self.happens(Named::Tie) {
            self.in_tie = true;
            self.tied = 3 * TIED_ROWS - 1;
        }
        self.last = now.max(self.last + 1);
        self.last
    }

    fn lateness(&mut self) -> std::time::Duration {
        let part = if self.happens(Named::Late) {
            self.rng.random_range(0.01..1.0)
        } else {
            0.0
        };
        self.faults.latest.mul_f64(part)
    }

    fn happens(&mut self, fault: Named) -> bool {
        let chance = self.faults.chance(fault);
        chance > 0.0 && self.rng.random_bool(chance)
    }

    /// A new record of Graph, or a newer version of an old one. What comes late is not changed again, so that no older version
    /// comes into sight after a newer one; within a tie nothing is changed, so that no identity comes twice.
    fn living(
        &mut self,
        kind: Kind,
        updated: i64,
        late: bool,
        unexpandable: &mut Vec<String>,
    ) -> (Written, i64) {
        let wanted = self.happens(Named::Update) && !self.in_tie;
        let pick = self.rng.random::<u64>();
        let pool = if kind == Kind::Alert {
            &mut self.living_alerts
        } else {
            &mut self.living_incidents
        };
        let old = (wanted && !pool.is_empty())
            .then(|| pool.swap_remove((pick % pool.len() as u64) as usize));
        let living = match old {
            Some(old) => Living {
                revision: old.revision + 1,
                ..old
            },
            None => self.newborn(kind, updated, unexpandable),
        };
        if !late {
            let pool = if kind == Kind::Alert {
                &mut self.living_alerts
            } else {
                &mut self.living_incidents
            };
            pool.push(living);
        }
        let written = if kind == Kind::Alert {
            self.alert(living, updated)
        } else {
            self.incident(living, updated)
        };
        (written, living.created)
    }

    fn newborn(&mut self, kind: Kind, updated: i64, unexpandable: &mut Vec<String>) -> Living {
        let created = updated - self.rng.random_range(0..60 * SECOND);
        if kind == Kind::Alert {
            let back = self
                .rng
                .random_range(1..=OPEN_INCIDENTS)
                .min(self.incidents.max(1));
            let incident = FIRST_INCIDENT + self.incidents.saturating_sub(back);
            return Living {
                number: self.made,
                incident,
                created,
                revision: 0,
            };
        }
        let number = FIRST_INCIDENT + self.incidents;
        self.incidents += 1;
        if self.poisoned < self.faults.poisoned_at_most && self.happens(Named::ExpandFails) {
            self.poisoned += 1;
            unexpandable.push(number.to_string());
        }
        Living {
            number,
            incident: number,
            created,
            revision: 0,
        }
    }

    fn alert(&mut self, living: Living, updated: i64) -> Written {
        let mut rng = self.rng_of(living.number);
        let incident = living.incident;
        let story = &STORIES[(living.number / 3) as usize % STORIES.len()];
        let scene = self.cast.scene(&mut rng, &self.tenant, living.created);
        let (number, guid) = (living.number, &scene.guid);
        let id = format!("{}{}-{number:012x}_1", story.prefix, &guid[..23]);
        let facts = graph::Facts {
            id: &id,
            incident,
            updated,
            revision: living.revision,
            number,
        };
        self.json.out.clear();
        match self.samples.alert(living.number) {
            Some(template) => {
                samples::dress_alert(template, &facts, &self.tenant, &mut self.json.out)
            }
            None => graph::write_alert(
                &facts,
                &scene,
                story,
                &self.shapes,
                &mut rng,
                &mut self.json,
            ),
        }
        Written {
            id,
            incident: Some(incident.to_string().into()),
        }
    }

    fn incident(&mut self, living: Living, updated: i64) -> Written {
        let mut rng = self.rng_of(living.number << 32);
        let id = living.number.to_string();
        let story = &STORIES[living.number as usize % STORIES.len()];
        let scene = self.cast.scene(&mut rng, &self.tenant, living.created);
        let facts = graph::Facts {
            id: &id,
            incident: living.incident,
            updated,
            revision: living.revision,
            number: living.number,
        };
        self.json.out.clear();
        match self.samples.incident(living.number) {
            Some(template) => {
                samples::dress_incident(template, &facts, &self.tenant, &mut self.json.out)
            }
            None => graph::write_incident(&facts, &scene, story, &mut self.json),
        }
        Written { id, incident: None }
    }

    fn detection(&mut self, updated: i64) -> Written {
        let mut rng = self.rng_of(self.made);
        let story: &Story = &STORIES[(self.made / 3) as usize % 2];
        let scene = self.cast.scene(&mut rng, &self.tenant, updated);
        self.json.out.clear();
        let id = match self.samples.detection(self.made) {
            Some(template) => {
                samples::dress_detection(template, self.made, updated, &mut self.json.out)
            }
            None => siem::write(self.made, updated, &scene, story, &mut rng, &mut self.json),
        };
        Written { id, incident: None }
    }

    fn rng_of(&self, number: u64) -> StdRng {
        StdRng::seed_from_u64(
            self.seed.rotate_left(32) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        )
    }
}
