"""The table of results: medians with minimum and maximum, and ratios per round."""

from statistics import median


def spread(values, form="{:.2f}"):
    values = list(values)
    if len(values) == 1:
        return form.format(values[0])
    return f"{form} ({form}-{form})".format(median(values), min(values), max(values))


def micros(rounds):
    return [one["micros"] for one in rounds]


def ratios(these, those):
    """Only of the rounds with a valid comparison: on a busy machine, a difference can be negative."""
    return [this / that for this, that in zip(these, those) if this > 0 and that > 0]


def verdict(value, must, aim):
    if must is None:
        return ""
    if aim is not None and value <= aim:
        return "aim"
    return "must" if value <= must else "**no**"


class Table:
    def __init__(self):
        self.rows = []

    def add(self, measure, gate, peer, haproxy, ratio, must=None, aim=None, unit=""):
        """`ratio`: the values to which goals apply, one per round."""
        goal = "{:g}".format if unit == "" else lambda goal: f"{goal:g} {unit}"
        self.rows.append([
            measure, gate, peer, haproxy,
            (spread(ratio) + f" {unit}").strip() if ratio else "",
            goal(must) if must is not None else "", goal(aim) if aim is not None else "",
            verdict(median(ratio), must, aim) if ratio else "",
        ])

    def text(self):
        head = ["measure", "gate", "nginx", "haproxy", "compared", "must", "aim", "holds"]
        lines = [head, ["---"] * len(head), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def us(values):
    return spread(values, "{:.1f}") + " us"


def render(raw):
    table = Table()
    if "throughput" in raw:
        throughput(table, raw["throughput"])
    for unit, by in raw.get("before", {}).items():
        after, before = micros(by["after"]), micros(by["before"])
        table.add(f"{unit}, CPU, / {us(before)} before", us(after), "", "", ratios(after, before))
    if "stores" in raw:
        stores(table, raw["stores"])
    if "memory" in raw:
        memory(table, raw["memory"])
    if "growth" in raw:
        growth(table, raw["growth"])
    if "instructions" in raw:
        instructions(table, raw["instructions"])
    if "tls" in raw:
        tls(table, raw["tls"])
    return table.text() + "\n\n" + notes(raw)


def throughput(table, results):
    cpu = {what: {name: micros(rounds) for name, rounds in by.items()} for what, by in results.items()}
    for what, title in (("get", "passed-through GET, CPU, / nginx"), ("post", "passed-through POST 400 B, CPU, / nginx")):
        by = cpu[what]
        table.add(title, us(by["gate"]), us(by["nginx"]), us(by["haproxy"]), ratios(by["gate"], by["nginx"]), 1.00, 0.85)
    flow = cpu["flow"]
    table.add(
        "enforced flow, CPU, / nginx + Lua", us(flow["gate"]), us(flow["nginx-lua"]), us(flow["haproxy-lua"]),
        ratios(flow["gate"], flow["nginx-lua"]), 0.60, 0.50,
    )
    table.add(
        'the same with `codes = "upstream"`, / the same in nginx + Lua', us(flow["gate-upstream"]),
        us(flow["nginx-lua-upstream"]), us(flow["haproxy-lua"]),
        ratios(flow["gate-upstream"], flow["nginx-lua-upstream"]),
    )
    table.add(
        '`entry = "redirect"`, CPU, / `rewrite`', us(flow["gate-redirect"]), "", "",
        ratios(flow["gate-redirect"], flow["gate"]), 1.35,
    )

    def surcharge(enforced, name):
        return [a - b - c for a, b, c in zip(flow[enforced], cpu["get"][name], cpu["post"][name])]

    def difference(enforced, plain):
        return [a - b for a, b in zip(flow[enforced], flow[plain])]

    gate = surcharge("gate", "gate")
    table.add(
        "surcharge: flow - GET - POST", us(gate), us(surcharge("nginx-lua", "nginx")),
        us(surcharge("haproxy-lua", "haproxy")), gate, 6, 3, "us",
    )
    table.add("the same, / nginx + Lua", "", "", "", ratios(gate, surcharge("nginx-lua", "nginx")))
    gate = difference("gate", "gate-off")
    table.add(
        "flow - the same requests without enforcement", us(gate), us(difference("nginx-lua", "nginx")),
        us(difference("haproxy-lua", "haproxy")), gate, unit="us",
    )

    rate = results["rate"]

    def added(name, percentile):
        return [a[percentile] - b[percentile] for a, b in zip(rate[name], rate["upstream"])]

    for percentile, must, aim in (("p50", 0.5, 0.35), ("p99", None, None)):
        table.add(
            f"added {percentile} per flow at a fixed rate, / nginx + Lua", us(added("gate", percentile)),
            us(added("nginx-lua", percentile)), us(added("haproxy-lua", percentile)),
            ratios(added("gate", percentile), added("nginx-lua", percentile)), must, aim,
        )
    table.add(
        "added p50 without any enforcement: plain nginx, / nginx + Lua", "", us(added("nginx", "p50")), "",
        ratios(added("nginx", "p50"), added("nginx-lua", "p50")),
    )


def stores(table, results):
    flow, rate = results["flow"], results["rate"]
    memory = micros(flow["gate"])
    for name, title in (
        ("gate-sealed", "`sealed`"), ("gate-claims", '`sealed`, `claims = "redis"`'), ("gate-redis", "`redis`"),
    ):
        table.add(f"flow with {title}, CPU, / `memory`", us(micros(flow[name])), us(memory) + " (`memory`)", "", ratios(micros(flow[name]), memory))
    for name, title in (("gate-claims", '`sealed`, `claims = "redis"`'), ("gate-redis", "`redis`")):
        lua = flow["nginx-lua-redis"]
        table.add(
            f"flow with {title}, CPU, / nginx + Lua + Redis", us(micros(flow[name])), us(micros(lua)), "",
            ratios(micros(flow[name]), micros(lua)),
        )
        of_redis = [[one["redis_micros"] for one in rounds] for rounds in (flow[name], lua)]
        table.add("the same, CPU of Redis", us(of_redis[0]), us(of_redis[1]), "", ratios(*of_redis))
        trips = [[one["round_trips"] for one in rounds] for rounds in (rate[name], rate["nginx-lua-redis"])]
        table.add("the same, round trips to Redis", spread(trips[0]), spread(trips[1]), "", [round(trip, 1) for trip in trips[0]], 5)

    def added(name, percentile):
        return [a[percentile] - b[percentile] for a, b in zip(rate[name], rate["upstream"])]

    for name in ("gate", "gate-sealed", "gate-claims", "gate-redis"):
        for percentile in ("p50", "p99"):
            table.add(
                f"added {percentile} per flow at 1,000 a second, `{name}`, / nginx + Lua + Redis", us(added(name, percentile)),
                us(added("nginx-lua-redis", percentile)), "", ratios(added(name, percentile), added("nginx-lua-redis", percentile)),
            )


def memory(table, by):
    def megabytes(name):
        return f"{by[name]['rss'] / 1e6:.1f} MB (PSS {by[name]['pss'] / 1e6:.1f})"

    def each(name):
        one = by[name]
        return (one["rss_with"] - one["rss"]) / one["connections"] / 1000

    table.add(
        "idle RSS", megabytes("gate"), megabytes("nginx"), megabytes("haproxy"), [by["gate"]["rss"] / 1e6], 12, 6, "MB"
    )
    table.add(
        "memory per idle keep-alive connection", *(f"{each(name):.1f} KB" for name in ("gate", "nginx", "haproxy")),
        [each("gate")], 14, 4, "KB",
    )


def growth(table, result):
    table.add(
        "bytes per pending authorization (RSS)", f"{result['bytes']:.0f}", "", "", [result["bytes"]], 260, 180
    )
    full, empty = micros(result["full"]), micros(result["empty"])
    table.add(
        f"CPU per flow with {result['pending']:,} pending / with 1,000", f"{us(full)} / {us(empty)}", "", "",
        ratios(full, empty), 1.25, 1.10,
    )


def instructions(table, results):
    for what, title, peer in (
        ("get", "instructions of a GET, / nginx", "nginx"),
        ("post", "instructions of a POST, / nginx", "nginx"),
        ("flow", "instructions of an enforced flow, / nginx + Lua", "nginx-lua"),
    ):
        by = results[what]
        table.add(title, f"{by['gate']:,.0f}", f"{by[peer]:,.0f}", "", [by["gate"] / by[peer]])


def tls(table, results):
    for protocol, title in (("h1", "HTTP/1.1 over TLS, GET, CPU, / nginx"), ("h2", "HTTP/2 over TLS, GET, CPU, / nginx")):
        by = {name: micros(rounds) for name, rounds in results[protocol].items()}
        gate = by.get("gate-tls")
        table.add(
            title, us(gate) if gate else "not yet", us(by["nginx-tls"]), "",
            ratios(gate, by["nginx-tls"]) if gate else None,
        )


def notes(raw):
    lines = []
    about = raw["versions"]
    lines.append(
        f"{about['gate']}; {about['nginx']}; {about['haproxy']}. Linux {about['kernel']}, {about['cores']} cores "
        f"({about['processor']})."
    )
    others, stolen = raw["machine"]["others"], raw["machine"]["stolen"]
    lines.append(
        f"Others took {others:.0%} of the machine meanwhile, a hypervisor {stolen:.0%}."
        + (" **This machine was not idle: repeat before you believe it.**" if others + stolen > 0.05 else "")
    )
    if "throughput" in raw:
        rate = raw["throughput"]["rate"]
        late = [
            f"{name} {median(one['units'] / one['seconds'] for one in rounds):,.0f}/s"
            for name, rounds in rate.items()
            if median(one["units"] / one["seconds"] for one in rounds) < 0.97 * raw["rate"]
        ]
        if late:
            lines.append(
                f"**The fixed rate of {raw['rate']:,}/s was not kept ({', '.join(late)}): its percentiles mean nothing.**"
            )
        dropped = {name: count for name, count in raw["dropped"].items() if count}
        lines.append(f"Log lines that the gate dropped: {dropped or 'none'}.")
    return "\n".join(lines)
