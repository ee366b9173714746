//! The books: the expected state of every wallet, hold and transaction, by a simple second implementation of the rules.
//! They share no code with what is tested.

use std::collections::BTreeMap;

use uuid::Uuid;

#[derive(Debug, Clone)]
pub(super) struct Wallet {
    pub(super) currency: &'static str,
    pub(super) balance: i64,
    pub(super) held: i64,
    pub(super) limit: i64,
    pub(super) status: &'static str,
    pub(super) owner: Option<String>,
    /// Type, balance change, balance after, held after.
    pub(super) entries: Vec<(&'static str, i64, i64, i64)>,
}

#[derive(Debug, Clone)]
pub(super) struct Hold {
    pub(super) id: Uuid,
    pub(super) wallet: usize,
    pub(super) amount: i64,
    /// A year; none: it does not expire.
    pub(super) expires: Option<u16>,
    pub(super) status: &'static str,
}

/// Money moved from one wallet to another; `None` is outside.
#[derive(Debug, Clone)]
pub(super) struct Movement {
    pub(super) id: Uuid,
    pub(super) from: Option<usize>,
    pub(super) to: Option<usize>,
    pub(super) amount: i64,
    pub(super) reversed: i64,
    pub(super) reversible: bool,
}

/// A command on the books. Wallets, holds and transactions are numbers.
#[derive(Debug, Clone)]
pub(super) enum Command {
    Create {
        wallet: usize,
        currency: &'static str,
        initial: i64,
    },
    Credit {
        wallet: usize,
        amount: i64,
    },
    Debit {
        wallet: usize,
        amount: i64,
    },
    Transfer {
        from: usize,
        to: usize,
        amount: i64,
    },
    Hold {
        wallet: usize,
        id: Uuid,
        amount: i64,
        expires: Option<u16>,
    },
    Extend {
        hold: usize,
        expires: u16,
    },
    Capture {
        hold: usize,
        amount: Option<i64>,
        to: Option<usize>,
    },
    Release {
        hold: usize,
    },
    Reverse {
        movement: usize,
        amount: Option<i64>,
    },
    Status {
        wallet: usize,
        to: &'static str,
    },
    Limit {
        wallet: usize,
        limit: i64,
    },
    /// The owner is a number.
    Change {
        wallet: usize,
        owner: Option<u8>,
    },
    Erase {
        wallet: usize,
    },
}

/// `Err` holds the problem's code.
pub(super) type Outcome = Result<(), &'static str>;

#[derive(Debug, Clone)]
pub(super) struct Books {
    /// Makes the ids of this stream unique.
    stream: u64,
    pub(super) wallets: BTreeMap<usize, Wallet>,
    pub(super) holds: Vec<Hold>,
    pub(super) movements: Vec<Movement>,
    /// The last position per partition in any answer.
    pub(super) positions: BTreeMap<String, i64>,
}

impl Books {
    pub(super) fn new() -> Self {
        Self {
            stream: rand::random(),
            wallets: BTreeMap::new(),
            holds: Vec::new(),
            movements: Vec::new(),
            positions: BTreeMap::new(),
        }
    }

    pub(super) fn wallet_id(&self, wallet: usize) -> Uuid {
        Uuid::from_u64_pair(self.stream, 0x8000_0000_0000_0000 + wallet as u64)
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("{:016x}-{name}", self.stream)
    }

    /// Everything written so far, in the format of `Wallex-Min-Position`.
    pub(super) fn reached(&self) -> String {
        let positions: Vec<String> = self
            .positions
            .iter()
            .map(|(partition, seq)| format!("{partition}:{seq}"))
            .collect();
        positions.join(",")
    }

    pub(super) fn note_positions(&mut self, positions: &str) {
        for position in positions.split(',').filter(|position| !position.is_empty()) {
            let (partition, seq) = position.split_once(':').unwrap();
            let last = self.positions.entry(partition.to_owned()).or_default();
            *last = (*last).max(seq.parse().unwrap());
        }
    }

    /// Runs a single command: it is refused at once if it names something that does not exist, whatever else is wrong
    /// with it.
    pub(super) fn run_alone(&mut self, command: &Command, if_match: Option<i64>) -> Outcome {
        let named = match *command {
            Command::Create { .. } => [None, None],
            Command::Credit { wallet, .. }
            | Command::Debit { wallet, .. }
            | Command::Hold { wallet, .. }
            | Command::Status { wallet, .. }
            | Command::Limit { wallet, .. }
            | Command::Change { wallet, .. }
            | Command::Erase { wallet } => [Some(wallet), None],
            Command::Transfer { from, to, .. } => [Some(from), Some(to)],
            Command::Capture { hold, to, .. } => {
                self.holds.get(hold).ok_or("hold_not_found")?;
                [to, None]
            }
            Command::Extend { .. } | Command::Release { .. } | Command::Reverse { .. } => [None, None],
        };
        for wallet in named.into_iter().flatten() {
            self.exists(wallet, None)?;
        }
        self.run(command, if_match)
    }

    /// Runs a command. `if_match` is the version that the paying wallet must have.
    pub(super) fn run(&mut self, command: &Command, if_match: Option<i64>) -> Outcome {
        match *command {
            Command::Create {
                wallet,
                currency,
                initial,
            } => {
                if self.wallets.contains_key(&wallet) {
                    return Err("wallet_exists");
                }
                self.wallets.insert(
                    wallet,
                    Wallet {
                        currency,
                        balance: 0,
                        held: 0,
                        limit: 0,
                        status: "active",
                        owner: None,
                        entries: Vec::new(),
                    },
                );
                self.enter(wallet, "create", initial, 0);
                self.moved(None, Some(wallet), initial, true);
            }
            Command::Credit { wallet, amount } => {
                self.receives(wallet, if_match)?;
                self.enter(wallet, "credit", amount, 0);
                self.moved(None, Some(wallet), amount, true);
            }
            Command::Debit { wallet, amount } => {
                self.pays(wallet, if_match)?;
                self.has(wallet, amount)?;
                self.enter(wallet, "debit", -amount, 0);
                self.moved(Some(wallet), None, amount, true);
            }
            Command::Transfer { from, to, amount } => {
                if from == to {
                    return Err("same_wallet");
                }
                self.exists(from, if_match)?;
                self.receives(to, None)?;
                self.pays(from, None)?;
                self.same_currency(from, to)?;
                self.has(from, amount)?;
                self.enter(from, "transfer_out", -amount, 0);
                self.enter(to, "transfer_in", amount, 0);
                self.moved(Some(from), Some(to), amount, true);
            }
            Command::Hold {
                wallet,
                id,
                amount,
                expires,
            } => {
                self.pays(wallet, if_match)?;
                self.has(wallet, amount)?;
                self.enter(wallet, "hold", 0, amount);
                self.holds.push(Hold {
                    id,
                    wallet,
                    amount,
                    expires,
                    status: "open",
                });
            }
            Command::Extend { hold, expires } => {
                let open = self.open_hold(hold, if_match)?;
                if open.expires.is_none_or(|already| already >= expires) {
                    return Err("expiry_not_later");
                }
                self.enter(open.wallet, "extend", 0, 0);
                self.holds[hold].expires = Some(expires);
            }
            Command::Capture { hold, amount, to } => self.capture(hold, amount, to, if_match)?,
            Command::Release { hold } => {
                let Hold { wallet, amount, .. } = self.open_hold(hold, if_match)?;
                self.enter(wallet, "release", 0, -amount);
                self.holds[hold].status = "released";
            }
            Command::Reverse { movement, amount } => self.reverse(movement, amount, if_match)?,
            Command::Status { wallet, to } => self.change_status(wallet, to, if_match)?,
            Command::Limit { wallet, limit } => {
                self.receives(wallet, if_match)?;
                let books = &self.wallets[&wallet];
                if books.balance - books.held < -limit {
                    return Err("overdraft_in_use");
                }
                self.enter(wallet, "overdraft_limit", 0, 0);
                self.entry(wallet).limit = limit;
            }
            Command::Change { wallet, owner } => {
                self.receives(wallet, if_match)?;
                self.enter(wallet, "change", 0, 0);
                self.entry(wallet).owner = owner.map(|owner| owner.to_string());
            }
            Command::Erase { wallet } => {
                self.exists(wallet, if_match)?;
                self.enter(wallet, "erase", 0, 0);
                self.entry(wallet).owner = None;
            }
        }
        Ok(())
    }

    fn capture(
        &mut self,
        hold: usize,
        amount: Option<i64>,
        to: Option<usize>,
        if_match: Option<i64>,
    ) -> Outcome {
        let Hold {
            wallet, amount: held, ..
        } = self.open_hold(hold, if_match)?;
        self.pays(wallet, None)?;
        let amount = amount.unwrap_or(held);
        if amount > held {
            return Err("capture_too_large");
        }
        if let Some(to) = to {
            if to == wallet {
                return Err("same_wallet");
            }
            self.receives(to, None)?;
            self.same_currency(wallet, to)?;
        }
        self.enter(wallet, "capture", -amount, -held);
        if let Some(to) = to {
            self.enter(to, "transfer_in", amount, 0);
        }
        self.moved(Some(wallet), to, amount, true);
        self.holds[hold].status = "captured";
        Ok(())
    }

    fn reverse(&mut self, movement: usize, amount: Option<i64>, if_match: Option<i64>) -> Outcome {
        let Movement {
            from,
            to,
            amount: moved,
            reversed,
            reversible,
            ..
        } = self
            .movements
            .get(movement)
            .ok_or("transaction_not_found")?
            .clone();
        if !reversible {
            return Err("not_reversible");
        }
        let left = moved - reversed;
        let amount = amount.unwrap_or(left);
        if amount > left || amount == 0 {
            return Err("reversal_too_large");
        }
        if let Some(payer) = to {
            self.pays(payer, if_match)?;
        }
        if let Some(receiver) = from {
            self.receives(receiver, if_match.filter(|_| to.is_none()))?;
        }
        if let Some(payer) = to {
            self.has(payer, amount)?;
            self.enter(payer, "reversal_out", -amount, 0);
        }
        if let Some(receiver) = from {
            self.enter(receiver, "reversal_in", amount, 0);
        }
        self.movements[movement].reversed += amount;
        self.moved(to, from, amount, false);
        Ok(())
    }

    fn change_status(&mut self, wallet: usize, to: &'static str, if_match: Option<i64>) -> Outcome {
        self.receives(wallet, if_match)?;
        let books = &self.wallets[&wallet];
        let entry = match (to, books.status) {
            ("frozen", "frozen") => return Err("wallet_frozen"),
            ("frozen", _) => "freeze",
            ("active", "active") => return Err("wallet_not_frozen"),
            ("active", _) => "unfreeze",
            _ if (books.balance, books.held) != (0, 0) => return Err("wallet_not_empty"),
            _ => "close",
        };
        self.enter(wallet, entry, 0, 0);
        self.entry(wallet).status = to;
        Ok(())
    }

    fn exists(&self, wallet: usize, if_match: Option<i64>) -> Outcome {
        let books = self.wallets.get(&wallet).ok_or("wallet_not_found")?;
        if if_match.is_some_and(|version| version != books.entries.len() as i64) {
            return Err("version_mismatch");
        }
        Ok(())
    }

    fn receives(&self, wallet: usize, if_match: Option<i64>) -> Outcome {
        self.exists(wallet, if_match)?;
        if self.wallets[&wallet].status == "closed" {
            return Err("wallet_closed");
        }
        Ok(())
    }

    fn pays(&self, wallet: usize, if_match: Option<i64>) -> Outcome {
        self.receives(wallet, if_match)?;
        if self.wallets[&wallet].status == "frozen" {
            return Err("wallet_frozen");
        }
        Ok(())
    }

    fn has(&self, wallet: usize, amount: i64) -> Outcome {
        let books = &self.wallets[&wallet];
        if books.balance - books.held + books.limit < amount {
            return Err("insufficient_funds");
        }
        Ok(())
    }

    fn same_currency(&self, one: usize, other: usize) -> Outcome {
        if self.wallets[&one].currency == self.wallets[&other].currency {
            Ok(())
        } else {
            Err("currency_mismatch")
        }
    }

    fn open_hold(&self, hold: usize, if_match: Option<i64>) -> Result<Hold, &'static str> {
        let hold = self.holds.get(hold).ok_or("hold_not_found")?.clone();
        self.exists(hold.wallet, if_match)?;
        if hold.status == "open" {
            Ok(hold)
        } else {
            Err("hold_closed")
        }
    }

    fn entry(&mut self, wallet: usize) -> &mut Wallet {
        self.wallets.get_mut(&wallet).unwrap()
    }

    fn enter(&mut self, wallet: usize, kind: &'static str, change: i64, held: i64) {
        let books = self.entry(wallet);
        books.balance += change;
        books.held += held;
        books.entries.push((kind, change, books.balance, books.held));
    }

    /// Its id comes with the answer.
    fn moved(&mut self, from: Option<usize>, to: Option<usize>, amount: i64, reversible: bool) {
        self.movements.push(Movement {
            id: Uuid::nil(),
            from,
            to,
            amount,
            reversed: 0,
            reversible: reversible && amount > 0,
        });
    }
}
