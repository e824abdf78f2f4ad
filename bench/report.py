"""One table of ratios from a run of the benchmarks: ``python bench/report.py RESULTS.json``."""

import json
import sys

KERNEL = "test_accumulate[accumulate]"


def rows(results):
    """Return name, median, rates and ratios of every benchmark."""
    median = {b["name"]: b["stats"]["median"] for b in results["benchmarks"]}
    facts = {b["name"]: b["extra_info"] for b in results["benchmarks"]}
    rate = {name: facts[name]["pairs"] / median[name] for name in median if "pairs" in facts[name]}
    against = [(name, rate.get(name)) for name in ("test_numpy_loop", "test_fma_peak", "test_ssyrk_one_thread", KERNEL)]
    for name, seconds in median.items():
        row = [name.removeprefix("test_"), f"{seconds:.4g} s"]
        row.append(f"{rate[name] / 1e9:.2f}" if name in rate else "")
        row.append(f"{facts[name]['events'] / seconds:,.0f}" if "events" in facts[name] else "")
        row.append(f"{facts[name]['bytes'] / seconds / 1e9:.1f}" if "bytes" in facts[name] else "")
        row += [f"{rate[name] / other:.2f}" if other and name in rate else "" for _, other in against]
        yield row


def main():
    """Print the table in Markdown, with the machine that it was measured on."""
    with open(sys.argv[1], encoding="utf-8") as file:
        results = json.load(file)
    machine = results["machine_info"]
    print(f"{machine['cpu'].get('brand_raw', machine['processor'])}, {machine['cpu'].get('count', '?')} cores\n")
    print("\n".join("    " + line for line in machine.get("parcorana", "").splitlines()) + "\n")
    head = ["benchmark", "median", "G pairs/s", "events/s", "GB/s", "x NumPy", "x FMA peak", "x ssyrk", "x accumulate"]
    print("| " + " | ".join(head) + " |")
    print("| --- |" + " ---: |" * (len(head) - 1))
    for row in rows(results):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
