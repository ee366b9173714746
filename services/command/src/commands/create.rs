//! Creates a wallet, empty or with an initial balance.

use uuid::Uuid;
use wallex_domain::{Amount, Command, CreateWallet, Currency, WalletId};
use wallex_journal::append::Item;
use wallex_journal::route::derived_wallet_id;
use wallex_runtime::http::{Code, Problem};

use crate::answer::{self, Shape};
use crate::body::Personal;
use crate::fields::Fields;
use crate::headers::Origin;
use crate::request::{Expected, Given, OwnRoute, Request, Target};
use crate::value::{MinorUnits, Name};

pub(crate) struct Create {
    id: Option<Uuid>,
    external_id: Option<Name>,
    currency: Currency,
    owner: Option<Name>,
    initial_balance: Option<MinorUnits>,
    personal: Personal,
}

impl Request for Create {
    const TYPE: &'static str = "create";
    const ROUTE: OwnRoute = OwnRoute::post(
        "/v1/wallets",
        "wallets",
        "createWallet",
        "Creates a wallet, empty or with an initial balance.",
    );
    const TARGET: Option<Target> = None;
    type Body = Self;
    const ABOUT: &'static str = "A new wallet.";
    const EXPECTS: Option<Expected> = None;
    const ANSWER: &'static Shape = &answer::WALLET;
    const DONE: &'static str = "Created";
    const REJECTIONS: &'static [Code] = &[Code::WalletExists, Code::ExternalIdTaken, Code::CurrencyUnknown];

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let id = fields.take(
            "id",
            "The wallet's id. Without one, the same Idempotency-Key always means the same new id.",
        );
        let external_id = fields.take(
            "external_id",
            "Your own name of the wallet, unique in the platform. Up to 255 characters. Kept for good: not for\n\
             personal data.",
        );
        let currency = fields.take(
            "currency",
            "Code of the currency: one of ISO 4217, or of the platform's own; GET /v1/currencies lists them.",
        );
        let owner = fields.take("owner", "Whose wallet it is; erasable. Up to 255 characters.");
        let initial_balance = fields.take("initial_balance", "Minor units; 0 when missing.");
        let personal = Personal::read(fields);
        Some(Self {
            id: id?,
            external_id: external_id?,
            currency: currency?,
            owner: owner?,
            initial_balance: initial_balance?,
            personal: personal?,
        })
    }

    fn new_currency(body: &Self) -> Option<Currency> {
        Some(body.currency)
    }

    fn item(body: Self, given: Given<'_>) -> Result<Item, Problem> {
        let Origin { caller, key, index } = given.origin;
        let wallet_id = body
            .id
            .map_or_else(|| derived_wallet_id(caller, key, index), WalletId);
        body.personal.and_owner_beside(body.owner, |personal| {
            Command::Create(CreateWallet {
                wallet_id,
                external_id: body.external_id.map(Into::into),
                currency: body.currency,
                initial_balance: body.initial_balance.and_then(|minor| Amount::new(minor.0).ok()),
                personal,
            })
        })
    }
}
