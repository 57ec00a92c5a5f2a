//! People, companies and places to draw from.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

const FIRST: [&str; 40] = [
    "Sanne",
    "Daan",
    "Lieke",
    "Bram",
    "Femke",
    "Joris",
    "Noor",
    "Thijs",
    "Maud",
    "Sven",
    "Lotte",
    "Ruben",
    "Anouk",
    "Jeroen",
    "Fleur",
    "Lucía",
    "Mateo",
    "Valentina",
    "Diego",
    "Carmen",
    "Álvaro",
    "Inés",
    "Javier",
    "Núria",
    "Iker",
    "Marta",
    "Pablo",
    "Elena",
    "Hugo",
    "Aisha",
    "Omar",
    "Zoë",
    "Chloé",
    "Émile",
    "Björn",
    "Agnieszka",
    "Łukasz",
    "Eoin",
    "Saoirse",
    "Jürgen",
];

const LAST: [&str; 40] = [
    "de Vries",
    "van den Berg",
    "Jansen",
    "Bakker",
    "Visser",
    "Smit",
    "Meijer",
    "Mulder",
    "de Groot",
    "Bos",
    "Vos",
    "Peters",
    "Hendriks",
    "van Leeuwen",
    "Dekker",
    "García",
    "Martínez",
    "López",
    "Fernández",
    "Muñoz",
    "Iglesias",
    "Navarro",
    "Ibáñez",
    "Etxeberria",
    "Puig",
    "Serra",
    "Ortega",
    "Núñez",
    "Castillo",
    "Yılmaz",
    "El Amrani",
    "O'Brien",
    "Müller",
    "Nowak",
    "Kowalska",
    "Dubois",
    "Lefèvre",
    "Andersson",
    "Rossi",
    "Pereira",
];

const COMPANY: [&str; 24] = [
    "Acme",
    "Waterland",
    "Zuiderzee",
    "Oranje",
    "Tulpenhof",
    "Kanaal",
    "Noordzee",
    "De Vlinder",
    "Molenaar",
    "Grachtengordel",
    "Iberdata",
    "Solmar",
    "Costa Brava",
    "Girasol",
    "Tramontana",
    "Alhambra",
    "Cantábrica",
    "Montjuïc",
    "Levante",
    "Meseta",
    "Halyard",
    "Blue Heron",
    "Lodestar",
    "Brightwater",
];

const TRADE: [&str; 16] = [
    "Logistics",
    "Bouw",
    "Energie",
    "Consultancy",
    "Media",
    "Foods",
    "Software",
    "Vastgoed",
    "Seguros",
    "Transportes",
    "Inversiones",
    "Textil",
    "Bodegas",
    "Marítima",
    "Capital",
    "Holding",
];

const LEGAL_FORM: [&str; 6] = ["B.V.", "N.V.", "S.L.", "S.A.", "S.L.U.", "V.O.F."];

const CITY: [&str; 16] = [
    "Amsterdam",
    "Rotterdam",
    "Utrecht",
    "Groningen",
    "Eindhoven",
    "'s-Hertogenbosch",
    "Leiden",
    "Haarlem",
    "Barcelona",
    "Madrid",
    "València",
    "Sevilla",
    "Bilbao",
    "Málaga",
    "A Coruña",
    "Donostia",
];

/// The countries that select fields offer.
pub(crate) const COUNTRIES: [&str; 6] = ["NL", "ES", "BE", "DE", "FR", "PT"];

const NOTES: [&str; 8] = [
    "Prefers to be called after four.",
    "Met at the spring fair; asked for the catalogue.",
    "Invoices go to the main office.\nDeliveries to the warehouse.",
    "Speaks Dutch & Spanish; writes in English.",
    "Asked twice about delivery times = follow up!",
    "Moved house; address to be confirmed.",
    "Customer since the first shop opened.",
    "Wants less mail, 100% sure.",
];

fn pick<'a>(list: &[&'a str], rng: &mut ChaCha8Rng) -> &'a str {
    list[rng.random_range(0..list.len())]
}

pub(crate) fn person(rng: &mut ChaCha8Rng) -> (&'static str, &'static str) {
    (pick(&FIRST, rng), pick(&LAST, rng))
}

pub(crate) fn company(rng: &mut ChaCha8Rng) -> String {
    format!("{} {} {}", pick(&COMPANY, rng), pick(&TRADE, rng), pick(&LEGAL_FORM, rng))
}

pub(crate) fn city(rng: &mut ChaCha8Rng) -> &'static str {
    pick(&CITY, rng)
}

pub(crate) fn country(rng: &mut ChaCha8Rng) -> &'static str {
    pick(&COUNTRIES, rng)
}

pub(crate) fn note(rng: &mut ChaCha8Rng) -> &'static str {
    pick(&NOTES, rng)
}

/// A Dutch mobile number.
pub(crate) fn phone(rng: &mut ChaCha8Rng) -> String {
    format!("+316{:08}", rng.random_range(0..100_000_000_u32))
}

/// An address at an example domain; the number keeps it unique.
pub(crate) fn email(first: &str, last: &str, number: u64) -> String {
    let host = ["example.com", "example.org", "example.net"][(number % 3) as usize];
    format!("{}.{}{number}@{host}", ascii(first), ascii(last))
}

/// A web host under an example domain.
pub(crate) fn website(company: &str) -> String {
    let host = ascii(company.split(' ').next().unwrap_or("company"));
    format!("https://{host}.example.com")
}

fn ascii(name: &str) -> String {
    name.chars()
        .filter_map(|letter| match letter {
            'á' | 'à' | 'Á' | 'ä' => Some('a'),
            'é' | 'è' | 'ë' | 'É' => Some('e'),
            'í' | 'ï' | 'ı' => Some('i'),
            'ó' | 'ö' => Some('o'),
            'ú' | 'ü' => Some('u'),
            'ñ' => Some('n'),
            'Ł' | 'ł' => Some('l'),
            letter if letter.is_ascii_alphanumeric() => Some(letter.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

/// A date as `YYYY-MM-DD` between 1940 and 2007.
pub(crate) fn birthday(rng: &mut ChaCha8Rng) -> String {
    format!("{}-{:02}-{:02}", rng.random_range(1940..2008), rng.random_range(1..13), rng.random_range(1..29))
}
