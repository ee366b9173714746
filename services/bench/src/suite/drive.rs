//! The closed loop: connections with one request in flight each, all on one thread of their own, so that a wake-up serves
//! many connections and nothing is shared between processors. The invariant: every request that was sent is answered before
//! the loop ends, so every balance can be predicted; otherwise the loop fails.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::task::LocalSet;

use crate::plan::SplitMix;
use crate::suite::request::{self, Request};
use crate::suite::scenario::Scenario;
use crate::suite::wallets::Wallets;
use crate::suite::wire::Wire;
use crate::tally::Latency;

/// The phase before the first window. Window n is phase n, from 1; the phase after the last one ends the loop.
const WARM_UP: usize = 0;
/// How long requests in flight may take once the loop is to end: longer than a command may wait for its writer.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// What a loop sends, and to whom.
pub(crate) struct Load {
    pub(crate) scenario: Scenario,
    pub(crate) has_projections: bool,
    /// Connections take them in turn.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) connections: u32,
    pub(crate) windows: usize,
    pub(crate) wallets: Arc<Wallets>,
    pub(crate) seed: u64,
    /// Beginning of all keys; no other loop uses it.
    pub(crate) run: String,
}

/// A window's operations, and the latencies of its requests.
#[derive(Debug, Clone)]
pub(crate) struct WindowTally {
    pub(crate) operations: u64,
    pub(crate) latency: Latency,
}

/// A loop that runs. The caller moves it from phase to phase.
pub(crate) struct Loop {
    state: Arc<State>,
    end: tokio::sync::oneshot::Receiver<anyhow::Result<Vec<WindowTally>>>,
}

#[derive(Default)]
struct State {
    phase: AtomicUsize,
    /// Operations answered since the beginning, over all phases.
    operations: AtomicU64,
}

impl Loop {
    pub(crate) fn start(load: Load) -> anyhow::Result<Self> {
        let state = Arc::new(State::default());
        let (sender, end) = tokio::sync::oneshot::channel();
        let shared = Arc::clone(&state);
        std::thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || {
                // If nobody waits any more, nobody needs the result.
                let _ = sender.send(run(load, &shared));
            })
            .context("no thread for the load")?;
        Ok(Self { state, end })
    }

    pub(crate) fn operations(&self) -> u64 {
        self.state.operations.load(Ordering::Relaxed)
    }

    /// Begins the next window, or ends the loop after the last one.
    pub(crate) fn next_phase(&self) {
        self.state.phase.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the loop has ended by itself, which is a failure that [`Loop::end`] returns.
    pub(crate) fn has_failed(&self) -> bool {
        !self.end.is_empty() || self.end.is_terminated()
    }

    /// Ends the loop, whatever its phase, and waits for the requests in flight.
    pub(crate) async fn end(self) -> anyhow::Result<Vec<WindowTally>> {
        self.state.phase.store(usize::MAX, Ordering::Relaxed);
        self.end.await.context("the load's thread died")?
    }
}

/// What the connections of a loop share: they are all on one thread.
struct Shared {
    load: Load,
    windows: RefCell<Vec<WindowTally>>,
    failed: Cell<bool>,
}

fn run(load: Load, state: &Arc<State>) -> anyhow::Result<Vec<WindowTally>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime for the load")?;
    let window = WindowTally {
        operations: 0,
        latency: Latency::new(),
    };
    let windows = vec![window; load.windows];
    let shared = Rc::new(Shared {
        load,
        windows: RefCell::new(windows),
        failed: Cell::new(false),
    });
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, all(&shared, state))?;
    let windows = shared.windows.take();
    Ok(windows)
}

/// Runs all connections to their end; the first failure ends the others after their current request.
async fn all(shared: &Rc<Shared>, state: &Arc<State>) -> anyhow::Result<()> {
    let workers: Vec<_> = (0..shared.load.connections)
        .map(|number| {
            let (shared, state) = (Rc::clone(shared), Arc::clone(state));
            tokio::task::spawn_local(async move {
                let worked = work(number, &shared, &state).await;
                if worked.is_err() {
                    shared.failed.set(true);
                }
                worked.with_context(|| format!("connection {number}"))
            })
        })
        .collect();
    let is_over = || shared.failed.get() || state.phase.load(Ordering::Relaxed) > shared.load.windows;
    let mut workers = std::pin::pin!(async {
        let mut first = Ok(());
        for worker in workers {
            let worked = worker.await.unwrap_or_else(|died| Err(died.into()));
            first = first.and(worked);
        }
        first
    });
    // One timer for all connections, instead of one per request.
    let mut over_since = None;
    loop {
        tokio::select! {
            worked = &mut workers => return worked,
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
        let now = Instant::now();
        if is_over() && now - *over_since.get_or_insert(now) > LAST_ANSWERS {
            bail!("a request was not answered within {LAST_ANSWERS:?}");
        }
    }
}

async fn work(number: u32, shared: &Shared, state: &State) -> anyhow::Result<()> {
    let load = &shared.load;
    let address = load.addresses[number as usize % load.addresses.len()];
    let mut wire = Wire::connect(address).await?;
    let mut request = Request::new(&address.to_string(), &format!("{}-{number}", load.run));
    let mut random = SplitMix(load.seed.wrapping_mul(1_000_003).wrapping_add(number.into()));
    loop {
        let is_over = shared.failed.get() || state.phase.load(Ordering::Relaxed) > load.windows;
        if is_over && !request.is_half_done() {
            return Ok(());
        }
        request.next(load.scenario, load.has_projections, &load.wallets, &mut random);
        let begin = Instant::now();
        let answer = wire.exchange(&request.bytes).await?;
        let latency = begin.elapsed();
        request::check(request.expected, &answer)?;
        load.wallets.apply(&request.effects);
        let operations = request.operations();
        state.operations.fetch_add(operations, Ordering::Relaxed);
        // A request counts for the window in which its answer arrives.
        let phase = state.phase.load(Ordering::Relaxed);
        if phase > WARM_UP
            && let Some(window) = shared.windows.borrow_mut().get_mut(phase - 1)
        {
            window.operations += operations;
            window.latency.record(latency);
        }
    }
}
