//! The S3 store of `scripts/dev`: serves a folder over HTTP on loopback.
//!
//! For development only. It differs from S3: it ignores regions, and a PUT into a
//! bucket that does not exist succeeds.

use std::{
    error::Error,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Parser;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

#[derive(Parser)]
struct Options {
    /// The folder that contains one folder per bucket.
    #[arg(long)]
    root: PathBuf,
    /// The bucket to create if it does not exist.
    #[arg(long)]
    bucket: String,
    /// The port to listen on. If it is taken, a free one is used.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The file that receives the endpoint's URL when the store is ready.
    #[arg(long)]
    endpoint_file: PathBuf,
    /// Prefer the environment variable: other users can list arguments.
    #[arg(long, env = "S3_ACCESS_KEY")]
    access_key: String,
    #[arg(long, env = "S3_SECRET_KEY", hide_env_values = true)]
    secret_key: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    fs::create_dir_all(options.root.join(&options.bucket))?;
    let store = object_store(&options)?;
    let listener = listen(options.port).await?;
    announce(&listener, &options.endpoint_file)?;
    serve(listener, store).await
}

fn object_store(options: &Options) -> Result<S3Service, Box<dyn Error>> {
    // The error does not implement `Error`.
    let files = FileSystem::new(&options.root).map_err(|error| format!("{error:?}"))?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(options.access_key.as_str(), options.secret_key.as_str()));
    Ok(builder.build())
}

async fn listen(preferred_port: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, preferred_port)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await,
    }
}

/// Writes the endpoint file and renames it into place, so that a reader never sees half of it.
fn announce(listener: &TcpListener, file: &Path) -> std::io::Result<()> {
    let unfinished = file.with_extension("unfinished");
    fs::write(&unfinished, format!("http://{}\n", listener.local_addr()?))?;
    fs::rename(unfinished, file)
}

async fn serve(listener: TcpListener, store: S3Service) -> Result<(), Box<dyn Error>> {
    let http = auto::Builder::new(TokioExecutor::new());
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Most likely out of file descriptors, which is transient.
                eprintln!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let connection = http.serve_connection(TokioIo::new(stream), store.clone());
        let connection = connection.into_owned();
        tokio::spawn(async move {
            // A client that disconnects is not an error.
            let _ = connection.await;
        });
    }
}
