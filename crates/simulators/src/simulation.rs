//! The three servers together, and the task that makes records.

use crate::generator::Generator;
use crate::graph::{Graph, GraphHandle};
use crate::hub::{self, Doors, Hub, HubHandle, Packer};
use crate::ledger::Ledger;
use crate::login::{Application, Login, LoginHandle};
use crate::serve::{Api, serve};
use crate::settings::{Settings, StartError};
use crate::siem::{Siem, SiemHandle};
use crate::tokens::{Tokens, unguessable};
use crate::wire::Wire;
use crate::world::World;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod pace;

/// What a client must know to use a simulation. Serialized, it is the one line that `tapline simulate` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Announcement {
    /// Base of the identity platform, without a path.
    pub login: String,
    /// Base of Microsoft Graph, without a path.
    pub graph: String,
    /// Base of the legacy SIEM exporter, without a path.
    pub siem: String,
    /// The tenant that has the records.
    pub tenant_id: String,
    /// The application.
    pub client_id: String,
    /// Its secret, with letters that a form must encode.
    pub client_secret: String,
    /// A refresh token of a user of the tenant.
    pub refresh_token: String,
    /// The hub to which the tenant's hunting tables are streamed, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eventhub: Option<EventHub>,
}

/// How to read a hub.
#[derive(Debug, Clone, Serialize)]
pub struct EventHub {
    /// With `UseDevelopmentEmulator=true`: clear TCP on the port of `Endpoint`.
    pub connection_string: String,
    /// The hub's name, also in the connection string.
    pub hub: String,
    /// How many partitions it has.
    pub partitions: usize,
    /// With the port of `Endpoint` that speaks TLS.
    pub tls_connection_string: String,
    /// AMQP on TLS.
    pub tls_port: u16,
    /// AMQP in a WebSocket on TLS, at `/$servicebus/websocket`.
    pub websocket_port: u16,
    /// Whom a client must trust for TLS: the authority's certificate, as PEM.
    pub authority: String,
}

/// Microsoft's side of the wire, serving until it is stopped or dropped.
#[derive(Debug)]
pub struct Simulation {
    announcement: Announcement,
    login: LoginHandle,
    graph: GraphHandle,
    siem: SiemHandle,
    hub: HubHandle,
    world: Arc<World>,
    finished: Arc<AtomicBool>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Simulation {
    /// Starts the servers on free ports of loopback, and a task that makes records as told.
    ///
    /// # Errors
    /// [`StartError`] when a port or the ledger cannot be had, or the settings make no sense.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        if settings.rate.is_nan() || settings.rate <= 0.0 {
            return Err(StartError::Rate(settings.rate));
        }
        let open = |path: &std::path::PathBuf| {
            Ledger::open(path).map_err(|source| StartError::Ledger {
                path: path.clone(),
                source,
            })
        };
        let ledger = settings.ledger.as_ref().map(open).transpose()?;
        let mut simulation = Self::serve(&settings, ledger, false).await?;
        let generator = Generator::new(&settings, Arc::clone(&simulation.graph.tenant))?;
        let pace = pace::Pace::new(
            &settings,
            generator,
            Arc::clone(&simulation.world),
            simulation.graph.clone(),
        );
        simulation
            .tasks
            .spawn(pace.run(simulation.stop.clone(), Arc::clone(&simulation.finished)));
        Ok(simulation)
    }

    /// Starts the servers with nothing in them; a test puts rows and faults in through the handles.
    ///
    /// # Errors
    /// [`StartError::Bind`] when no port can be had.
    pub async fn scripted() -> Result<Self, StartError> {
        Self::scripted_with(Settings::default()).await
    }

    /// Starts the servers as [`Simulation::scripted`] does, with these faults and this certificate.
    ///
    /// # Errors
    /// [`StartError`] when no port can be had, or the certificate cannot be used.
    pub async fn scripted_with(settings: Settings) -> Result<Self, StartError> {
        Self::serve(&settings, None, true).await
    }

    /// Where the servers are, and how to get in.
    pub fn announcement(&self) -> Announcement {
        self.announcement.clone()
    }

    /// How many versions can be read, or could until a newer one replaced them. All are in the ledger.
    pub fn made(&self) -> u64 {
        self.world.made()
    }

    /// Whether the last of `events` versions can be read, so that nothing new will come.
    pub fn finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// The identity platform.
    pub fn login(&self) -> LoginHandle {
        self.login.clone()
    }

    /// Microsoft Graph, for the announced tenant.
    pub fn graph(&self) -> GraphHandle {
        self.graph.clone()
    }

    /// The legacy exporter, for the announced tenant.
    pub fn siem(&self) -> SiemHandle {
        self.siem.clone()
    }

    /// Event Hubs. It is always there; only with [`Settings::hub`] it is announced and filled.
    pub fn hub(&self) -> HubHandle {
        self.hub.clone()
    }

    /// Makes no more, closes all connections, and frees the ports.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    async fn serve(
        settings: &Settings,
        ledger: Option<Ledger>,
        scripted: bool,
    ) -> Result<Self, StartError> {
        let (login_port, login_base) = bind().await?;
        let (graph_port, graph_base) = bind().await?;
        let (siem_port, siem_base) = bind().await?;
        let doors = Doors::open(settings).await?;
        let mut identity = StdRng::seed_from_u64(settings.seed);
        let tenant_id = seeded_guid(&mut identity);
        let application = Application {
            client_id: seeded_guid(&mut identity),
            client_secret: unguessable("Sim~+/=%&8Q~"),
        };

        let hub = Arc::new(Hub::new(doors.ports, doors.authority, scripted));
        let packer = Packer::new(
            Arc::clone(&hub),
            settings.faults.clone(),
            settings.seed.wrapping_add(4),
        );
        let world = Arc::new(World::new(ledger, settings.hub.then_some(packer)));
        let tokens = Arc::new(Tokens::default());
        let wire = |n: u64| {
            Wire::new(
                settings.faults.clone(),
                settings.seed.wrapping_add(n),
                scripted,
            )
        };
        let login = Arc::new(Login::new(
            wire(1),
            Arc::clone(&tokens),
            application.clone(),
            login_base.clone(),
            &tenant_id,
        ));
        let graph = Arc::new(Graph::new(
            wire(2),
            Arc::clone(&world),
            Arc::clone(&tokens),
            graph_base.clone(),
        ));
        let siem = Arc::new(Siem {
            wire: wire(3),
            world: Arc::clone(&world),
            tokens: Arc::clone(&tokens),
        });

        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let servers: [(TcpListener, Arc<dyn Api>); 3] = [
            (login_port, Arc::clone(&login) as _),
            (graph_port, Arc::clone(&graph) as _),
            (siem_port, Arc::clone(&siem) as _),
        ];
        for (listener, api) in servers {
            tasks.spawn(serve(listener, api, stop.clone()));
        }
        let service = hub::Service {
            hub: Arc::clone(&hub),
            tokens: Arc::clone(&tokens),
            faults: settings.faults.clone(),
        };
        for (listener, door) in doors.all {
            tasks.spawn(hub::serve(listener, door, service.clone(), stop.clone()));
        }
        let announcement = Announcement {
            login: login_base,
            graph: graph_base,
            siem: siem_base,
            tenant_id: tenant_id.clone(),
            client_id: application.client_id,
            client_secret: application.client_secret,
            refresh_token: tokens.issue_refresh(),
            eventhub: (settings.hub || scripted).then(|| hub.announcement()),
        };
        let tenant: Arc<str> = tenant_id.into();
        Ok(Self {
            announcement,
            login: LoginHandle { server: login },
            graph: GraphHandle {
                server: graph,
                tenant: Arc::clone(&tenant),
            },
            siem: SiemHandle {
                server: siem,
                tenant,
            },
            hub: HubHandle { hub },
            world,
            finished: Arc::new(AtomicBool::new(false)),
            stop,
            tasks,
        })
    }
}

async fn bind() -> Result<(TcpListener, String), StartError> {
    let (listener, port) = bind_port().await?;
    Ok((listener, format!("http://{}:{port}", Ipv4Addr::LOCALHOST)))
}

pub(crate) async fn bind_port() -> Result<(TcpListener, u16), StartError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(StartError::Bind)?;
    let address = listener.local_addr().map_err(StartError::Bind)?;
    Ok((listener, address.port()))
}

fn seeded_guid(rng: &mut StdRng) -> String {
    let text = format!("{:032x}", rng.random::<u128>());
    format!(
        "{}-{}-4{}-a{}-{}",
        &text[..8],
        &text[8..12],
        &text[13..16],
        &text[17..20],
        &text[20..]
    )
}
