//! The two components that a spool is to the pipeline, over one queue.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tapline_core::{BuildContext, BuildError, Sink, Source};

use crate::SpoolSettings;
use crate::feed::Feed;
use crate::intake::Intake;
use crate::queue::Queue;

/// A spool that may be built several times, as sink and as source, and is opened once.
#[derive(Clone)]
pub struct Spool {
    /// The sink that it stands before.
    sink: Arc<str>,
    settings: SpoolSettings,
    open: Arc<Mutex<Option<Queue>>>,
}

impl Spool {
    /// The spool of a sink. Opens nothing yet.
    pub fn new(sink: Arc<str>, settings: SpoolSettings) -> Self {
        Self {
            sink,
            settings,
            open: Arc::default(),
        }
    }

    /// The part that takes events in; must be built inside a tokio runtime.
    ///
    /// # Errors
    /// [`BuildError`] if the folder cannot be used.
    pub fn sink(&self, cx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        let queue = self.queue(cx)?;
        Ok(Box::new(Intake::new(queue, self.settings.bounds(), cx)))
    }

    /// The part that feeds the real sink.
    ///
    /// # Errors
    /// [`BuildError`] if the folder cannot be used.
    pub fn source(&self, cx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        let queue = self.queue(cx)?;
        Ok(Box::new(Feed::new(queue, Arc::clone(&self.sink), cx)))
    }

    fn queue(&self, cx: &BuildContext) -> Result<Queue, BuildError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = &*open {
            return Ok(queue.clone());
        }
        let queue = Queue::open(&self.folder(cx)).map_err(|error| BuildError::new("", error))?;
        Ok(open.insert(queue).clone())
    }

    fn folder(&self, cx: &BuildContext) -> PathBuf {
        cx.data_dir.join("spool").join(&*self.sink)
    }
}
