use super::*;

fn row(first_seen: u64) -> Row {
    Row {
        first_seen,
        last_seen: first_seen,
        ..Row::default()
    }
}

fn sum(own: Vec<(Name, Row)>, others: Vec<Vec<(Name, Row)>>, most: usize) -> HashMap<Name, Row> {
    let mut sum = Sum {
        most,
        rows: own.into_iter().collect(),
    };
    for rows in others {
        sum.add(rows.into_iter());
    }
    sum.rows
}

fn client(name: &str) -> Name {
    Name::Client(name.into())
}

#[test]
fn rows_of_all_gates_are_added_by_name() {
    let own = vec![(client("a"), row(5)), (client("b"), row(6))];
    let others = vec![
        vec![(client("a"), row(3)), (client("c"), row(9))],
        vec![(client("c"), row(8)), (Name::Others, row(1))],
    ];
    let all = sum(own, others, 10);
    let seen = |name: Name| (all[&name].first_seen, all[&name].last_seen);
    assert_eq!(all.len(), 4);
    assert_eq!(seen(client("a")), (3, 5));
    assert_eq!(seen(client("b")), (6, 6));
    assert_eq!(seen(client("c")), (8, 9));
    assert_eq!(seen(Name::Others), (1, 1));
}

/// Each gate may have as many rows as are configured, with other names.
#[test]
fn the_number_of_rows_of_all_gates_is_bounded() {
    let rows =
        |gate: u32| (0..100).map(move |number| (client(&format!("{gate}-{number}")), row(1)));
    let others = (1..9).map(|gate| rows(gate).collect()).collect();
    let all = sum(rows(0).collect(), others, 150);
    assert_eq!(all.len(), 151);
    assert!(all.contains_key(&Name::Others));
}
