//! Who answers for the state: the process that works on the data folder, or else the file in it.

use anyhow::bail;
use tapline_runtime::admin::AdminClient;
use tapline_runtime::state::{Changed, Document, Placement, Rewind, Standing, StateDesk};
use tapline_runtime::{Pipeline, StoreError};

use crate::plugins;

/// Where the state is looked at and changed.
pub(super) enum Desk {
    /// Nothing was ever stored.
    Empty,
    /// No process works on the folder.
    Here(StateDesk),
    /// One does.
    There(AdminClient),
}

impl Desk {
    /// Makes nothing.
    pub(super) async fn to_read(pipeline: &Pipeline) -> anyhow::Result<Self> {
        match StateDesk::exists(&pipeline.data_dir) {
            true => Self::open(pipeline).await,
            false => Ok(Self::Empty),
        }
    }

    pub(super) async fn to_change(pipeline: &Pipeline) -> anyhow::Result<Self> {
        let desk = Self::open(pipeline).await?;
        if let Self::There(client) = &desk
            && !client.has_token()
        {
            bail!(
                "a process works on {}, and changes nothing without a token; set admin.token in the pipeline file and restart it, or stop it first",
                pipeline.data_dir.display()
            );
        }
        Ok(desk)
    }

    async fn open(pipeline: &Pipeline) -> anyhow::Result<Self> {
        match StateDesk::open(&pipeline.data_dir, plugins::registry().cursors()).await {
            Ok(desk) => Ok(Self::Here(desk)),
            Err(StoreError::InUse(_)) => Ok(Self::There(client(pipeline)?)),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn show(&self) -> anyhow::Result<Vec<Standing>> {
        Ok(match self {
            Self::Empty => Vec::new(),
            Self::Here(desk) => desk.show().await?,
            Self::There(client) => client.get("/api/v1/state").await?,
        })
    }

    pub(super) async fn export(&self) -> anyhow::Result<Vec<u8>> {
        Ok(match self {
            Self::Empty => bail!("there is no state yet"),
            Self::Here(desk) => serde_json::to_vec(&desk.export().await?)?,
            Self::There(client) => client.get_bytes("/api/v1/state/export").await?,
        })
    }

    pub(super) async fn rewind(&self, wanted: Rewind) -> anyhow::Result<Changed> {
        Ok(match self {
            Self::Empty => Changed::default(),
            Self::Here(desk) => desk.rewind(&wanted).await?,
            Self::There(client) => client.post("/api/v1/state/rewind", &wanted).await?,
        })
    }

    pub(super) async fn set(&self, wanted: Placement) -> anyhow::Result<Changed> {
        Ok(match self {
            Self::Empty => Changed::default(),
            Self::Here(desk) => desk.set(wanted).await?,
            Self::There(client) => client.post("/api/v1/state/set", &wanted).await?,
        })
    }

    pub(super) async fn import(&self, document: Document) -> anyhow::Result<Changed> {
        Ok(match self {
            Self::Empty => Changed::default(),
            Self::Here(desk) => desk.import(document).await?,
            Self::There(client) => client.post("/api/v1/state/import", &document).await?,
        })
    }
}

fn client(pipeline: &Pipeline) -> anyhow::Result<AdminClient> {
    let Some(config) = &pipeline.admin else {
        bail!(
            "a process works on {}, and the pipeline file has no admin: to ask it by; stop it first",
            pipeline.data_dir.display()
        );
    };
    Ok(AdminClient::new(config, &pipeline.config_dir)?)
}
