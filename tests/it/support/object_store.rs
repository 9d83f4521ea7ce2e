//! A real S3 server over HTTP on loopback, its objects in a folder of its own, that fails on
//! request: it stalls at a point, refuses keys, answers 500, or is down.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use postrider::app::object_store::{Limits, ObjectStore, ObjectStoreConfig};
use s3s::auth::SimpleAuth;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, Error as KeyError, GetObjectInput,
    GetObjectOutput, HeadBucketInput, HeadBucketOutput, PutObjectInput, PutObjectOutput,
};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::wait::within;

const BUCKET: &str = "files";
/// No request of a test takes longer to come.
const DEADLINE: Duration = Duration::from_mins(2);

/// Where the store can be made to stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    BeforePut,
    AfterPut,
    BeforeDelete,
    MidDelete,
    AfterDelete,
}

/// The server. Ends with the value.
pub struct TestObjectStore {
    folder: TempDir,
    address: SocketAddr,
    service: S3Service,
    faults: Arc<Faults>,
    server: Option<tokio::task::JoinHandle<()>>,
}

#[derive(Default)]
struct Faults {
    stall: watch::Sender<Option<Point>>,
    stalled: watch::Sender<usize>,
    refused: Mutex<Option<Refusal>>,
    fail_every: AtomicUsize,
    delete_requests: AtomicUsize,
    single_deletes: AtomicUsize,
    /// The answer to `DeleteObjects` of a store without it.
    lacks_delete_objects: Mutex<Option<S3ErrorCode>>,
    largest_delete: AtomicUsize,
}

type Refusal = Box<dyn FnMut(&str) -> bool + Send>;

impl TestObjectStore {
    pub async fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        std::fs::create_dir(folder.path().join(BUCKET)).expect("the bucket");
        let faults = Arc::new(Faults::default());
        let files = FileSystem::new(folder.path()).expect("a store in the folder");
        let mut builder = S3ServiceBuilder::new(Faulty { files, faults: Arc::clone(&faults) });
        builder.set_auth(SimpleAuth::from_single("test-key", "test-secret"));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its number");
        let server = Some(tokio::spawn(serve(listener, service.clone())));
        Self { folder, address, service, faults, server }
    }

    pub fn config(&self) -> ObjectStoreConfig {
        ObjectStoreConfig {
            endpoint: Some(format!("http://{}", self.address)),
            bucket: Some(BUCKET.to_owned()),
            access_key: Some("test-key".to_owned()),
            secret_key: Some("test-secret".to_owned()),
            use_path_style: true,
            ..ObjectStoreConfig::default()
        }
    }

    /// The environment in which a program of ours uses this store.
    pub fn env(&self) -> [(&'static str, String); 5] {
        let config = self.config();
        [
            ("S3_ENDPOINT", config.endpoint.unwrap_or_default()),
            ("S3_BUCKET", config.bucket.unwrap_or_default()),
            ("S3_ACCESS_KEY", config.access_key.unwrap_or_default()),
            ("S3_SECRET_KEY", config.secret_key.unwrap_or_default()),
            ("S3_USE_PATH_STYLE", config.use_path_style.to_string()),
        ]
    }

    /// A client with patience for a test.
    pub fn client(&self) -> ObjectStore {
        self.client_with(Limits::default())
    }

    pub fn client_with(&self, limits: Limits) -> ObjectStore {
        ObjectStore::with_limits(self.config(), limits)
    }

    /// A client that asks once and does not wait for long.
    pub fn impatient_client(&self) -> ObjectStore {
        self.client_with(Limits {
            connect: Duration::from_secs(1),
            attempt: Duration::from_secs(2),
            operation: Duration::from_secs(2),
            attempts: 1,
            ..Limits::default()
        })
    }

    /// The keys of all objects.
    pub fn objects(&self) -> BTreeSet<String> {
        let bucket = self.folder.path().join(BUCKET);
        let mut keys = BTreeSet::new();
        let mut folders = vec![bucket.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    keys.insert(path.strip_prefix(&bucket).expect("within").to_str().expect("UTF-8").to_owned());
                }
            }
        }
        keys
    }

    /// An object that is suddenly there, as by a request that has stalled.
    pub fn land(&self, key: &str, bytes: &[u8]) {
        let path = self.path(key);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        std::fs::write(path, bytes).expect("the object");
    }

    pub fn lose(&self, key: &str) {
        std::fs::remove_file(self.path(key)).expect("an object to lose");
    }

    fn path(&self, key: &str) -> PathBuf {
        Path::new(self.folder.path()).join(BUCKET).join(key)
    }

    /// Requests stall at this point until [`TestObjectStore::go_on`].
    pub fn stall_at(&self, point: Point) {
        self.faults.stalled.send_replace(0);
        self.faults.stall.send_replace(Some(point));
    }

    pub fn go_on(&self) {
        self.faults.stall.send_replace(None);
    }

    /// Waits until a request has stalled.
    pub async fn stalled(&self) {
        let mut stalled = self.faults.stalled.subscribe();
        within("a stalled request", DEADLINE, stalled.wait_for(|count| *count > 0)).await.expect("a store");
    }

    /// `DeleteObjects` answers 200 with an error for keys that this accepts.
    pub fn refuse_keys(&self, refusal: impl FnMut(&str) -> bool + Send + 'static) {
        *self.faults.refused.lock().unwrap() = Some(Box::new(refusal));
    }

    /// Every `n`th `DeleteObjects` is a 500.
    pub fn fail_every(&self, n: usize) {
        self.faults.fail_every.store(n, Ordering::SeqCst);
    }

    /// The store cannot delete many objects per request, and answers like this.
    pub fn lack_delete_objects(&self, code: S3ErrorCode) {
        *self.faults.lacks_delete_objects.lock().unwrap() = Some(code);
    }

    pub fn single_deletes(&self) -> usize {
        self.faults.single_deletes.load(Ordering::SeqCst)
    }

    pub fn heal(&self) {
        *self.faults.refused.lock().unwrap() = None;
        self.fail_every(0);
        self.go_on();
    }

    pub fn delete_requests(&self) -> usize {
        self.faults.delete_requests.load(Ordering::SeqCst)
    }

    /// The most keys that one `DeleteObjects` had.
    pub fn largest_delete(&self) -> usize {
        self.faults.largest_delete.load(Ordering::SeqCst)
    }

    /// The store is down: it does not listen, and connections are cut off.
    pub async fn go_down(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            let _ = server.await;
        }
    }

    pub async fn come_up(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the port that we had");
        self.server = Some(tokio::spawn(serve(listener, self.service.clone())));
    }
}

impl Drop for TestObjectStore {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

async fn serve(listener: TcpListener, service: S3Service) {
    let http = auto::Builder::new(TokioExecutor::new());
    // Dropped with this future, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let connection = http.serve_connection(TokioIo::new(stream), service.clone()).into_owned();
        connections.spawn(async move {
            let _ = connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// The file system, with faults.
struct Faulty {
    files: FileSystem,
    faults: Arc<Faults>,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = S3Result<S3Response<T>>> + Send + 'a>>;

impl S3 for Faulty {
    fn head_bucket<'a, 'f>(&'a self, request: S3Request<HeadBucketInput>) -> Answer<'f, HeadBucketOutput>
    where
        'a: 'f,
        Self: 'f,
    {
        self.files.head_bucket(request)
    }

    fn get_object<'a, 'f>(&'a self, request: S3Request<GetObjectInput>) -> Answer<'f, GetObjectOutput>
    where
        'a: 'f,
        Self: 'f,
    {
        self.files.get_object(request)
    }

    fn put_object<'a, 'f>(&'a self, request: S3Request<PutObjectInput>) -> Answer<'f, PutObjectOutput>
    where
        'a: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            self.faults.pass(Point::BeforePut).await;
            let answer = self.files.put_object(request).await?;
            self.faults.pass(Point::AfterPut).await;
            Ok(answer)
        })
    }

    fn delete_object<'a, 'f>(&'a self, request: S3Request<DeleteObjectInput>) -> Answer<'f, DeleteObjectOutput>
    where
        'a: 'f,
        Self: 'f,
    {
        self.faults.single_deletes.fetch_add(1, Ordering::SeqCst);
        if self.faults.refused.lock().unwrap().as_mut().is_some_and(|refusal| refusal(&request.input.key)) {
            return Box::pin(async { Err(s3_error!(AccessDenied, "not this one")) });
        }
        self.files.delete_object(request)
    }

    fn delete_objects<'a, 'f>(&'a self, request: S3Request<DeleteObjectsInput>) -> Answer<'f, DeleteObjectsOutput>
    where
        'a: 'f,
        Self: 'f,
    {
        Box::pin(self.delete(request))
    }
}

impl Faulty {
    async fn delete(&self, request: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let (faults, all) = (&self.faults, request.input.delete.objects.clone());
        let number = faults.delete_requests.fetch_add(1, Ordering::SeqCst) + 1;
        faults.largest_delete.fetch_max(all.len(), Ordering::SeqCst);
        if let Some(code) = faults.lacks_delete_objects.lock().unwrap().clone() {
            return Err(S3Error::with_message(code, "not here"));
        }
        let fail_every = faults.fail_every.load(Ordering::SeqCst);
        if fail_every > 0 && number.is_multiple_of(fail_every) {
            return Err(s3_error!(InternalError, "out of order"));
        }
        let (refused, granted): (Vec<_>, Vec<_>) = match &mut *faults.refused.lock().unwrap() {
            Some(refusal) => all.into_iter().partition(|object| refusal(&object.key)),
            None => (Vec::new(), all),
        };
        faults.pass(Point::BeforeDelete).await;
        let (first, second) = granted.split_at(granted.len() / 2);
        for half in [first, second] {
            let mut input = request.input.clone();
            input.delete.objects = half.to_vec();
            self.files.delete_objects(with_input(&request, input)).await?;
            faults.pass(Point::MidDelete).await;
        }
        faults.pass(Point::AfterDelete).await;
        let errors = refused.into_iter().map(|object| KeyError {
            key: Some(object.key),
            code: Some("AccessDenied".to_owned()),
            message: Some("not this one".to_owned()),
            ..KeyError::default()
        });
        Ok(S3Response::new(DeleteObjectsOutput { errors: Some(errors.collect()), ..DeleteObjectsOutput::default() }))
    }
}

/// The same request with another input.
fn with_input<T>(request: &S3Request<T>, input: T) -> S3Request<T> {
    S3Request {
        input,
        method: request.method.clone(),
        uri: request.uri.clone(),
        headers: request.headers.clone(),
        extensions: request.extensions.clone(),
        credentials: request.credentials.clone(),
        region: request.region.clone(),
        service: request.service.clone(),
        trailing_headers: None,
    }
}

impl Faults {
    async fn pass(&self, point: Point) {
        let mut stall = self.stall.subscribe();
        if *stall.borrow() == Some(point) {
            self.stalled.send_modify(|count| *count += 1);
            let _ = stall.wait_for(|at| *at != Some(point)).await;
        }
    }
}
