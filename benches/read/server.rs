//! The three servers, each a process of its own over the same file.

use super::support::service::{KEY, Service};
use super::{floor, people, plain};
use anyhow::Context;
use axum::Router;
use sea_orm::sqlx::SqlitePool;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use std::future::Future;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for a process that plays one of the servers: its name and the folder of the database.
const VARIABLE: &str = "PROFILE_MIRROR_BENCH_SERVER";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The service itself.
    Service,
    /// async-graphql with types that are known when it is built, over plain statements.
    Static,
    /// Rows straight to JSON.
    Floor,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Service, Self::Static, Self::Floor];

    /// Its name in what is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Static => "static",
            Self::Floor => "floor",
        }
    }
}

/// A running server. Dropping it ends it.
pub struct Running {
    /// Which.
    pub role: Role,
    process: Service,
}

impl Running {
    /// Starts it over the database in this folder, the service over any.
    pub fn start(role: Role, folder: &Path, url_of_service: &str) -> anyhow::Result<Self> {
        let process = match role {
            Role::Service => {
                configure(folder, url_of_service)?;
                Service::start(folder)?
            }
            Role::Static | Role::Floor => {
                let mut command = Command::new(std::env::current_exe()?);
                command.env(VARIABLE, format!("{} {}", role.name(), folder.display()));
                Service::spawn(command)?
            }
        };
        Ok(Self { role, process })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// Its process id, as `/proc` names it.
    pub fn process(&self) -> String {
        self.process.process()
    }

    /// A request of GraphQL over HTTP as bytes, the same for all of them.
    pub fn request(document: &str, variables: &serde_json::Value) -> Vec<u8> {
        let name = document.trim_start_matches("query ").split(['(', ' ']).next();
        let body = serde_json::json!({ "query": document, "operationName": name, "variables": variables }).to_string();
        format!(
            "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\naccept: application/json\r\n\
             authorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// One source without a token: nothing is fetched while the benches run.
fn configure(folder: &Path, url: &str) -> anyhow::Result<()> {
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\ncost_per_minute = 0\n[database]\nurl = \"{url}\"\n\
         [[source]]\nname = \"{}\"\nprovider = \"copernica\"\nbase_url = \"http://127.0.0.1:9\"\n\
         time_zone = \"Europe/Amsterdam\"\n[source.webhook]\naccount = \"bench\"\nkey_domain = \"copernica.com\"\n\
         [[access.keys]]\nname = \"bench\"\nrole = \"admin\"\nkey = {{ env = \"BENCH_KEY\" }}\n",
        people::SOURCE,
    );
    std::fs::write(folder.join("mirror.toml"), text)?;
    std::fs::write(folder.join("token"), "none")?;
    Ok(())
}

/// Plays a server where this process was started for it, until its standard input ends; false where it was not.
pub fn serve_if_asked() -> anyhow::Result<bool> {
    let Ok(asked) = std::env::var(VARIABLE) else { return Ok(false) };
    let (role, folder) = asked.split_once(' ').context("the name of a server and a folder")?;
    let folder = PathBuf::from(folder);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let pool = open(&folder).await?;
        if role == Role::Floor.name() { serve(floor::router(pool)).await } else { serve(plain::router(pool)).await }
    })?;
    Ok(true)
}

/// Connections like those of the service's readers.
async fn open(folder: &Path) -> anyhow::Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(people::database(folder))
        .pragma("query_only", "ON")
        .pragma("temp_store", "MEMORY")
        .pragma("cache_size", "-8000");
    let pool = SqlitePoolOptions::new().max_connections(4).test_before_acquire(false);
    Ok(pool.connect_with(options).await?)
}

async fn serve(router: impl Future<Output = anyhow::Result<Router>>) -> anyhow::Result<()> {
    let router = router.await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    tokio::spawn(axum::serve(listener, router).into_future());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}
