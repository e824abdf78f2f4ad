"""One table of ratios from a run of the benchmarks: ``python bench/report.py RESULTS.json``."""

import json
import sys

KERNEL = "test_accumulate[usual]"


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


def update_cost(results):
    """Return a line on what an update costs, from the same job with and without."""
    found = {b["name"]: (b["stats"]["median"], b["extra_info"]) for b in results["benchmarks"]}
    bandwidth = found.get("test_memory_bandwidth")
    for ranks in (4, 0):
        without = found.get(f"test_job[131072 elements, 100 delays-{ranks}]")
        with_updates = found.get(f"test_job[the same, 8 updates-{ranks}]")
        if without is None or with_updates is None:
            continue
        # the job without updates publishes once, too: at its end
        extra = (with_updates[0] - without[0]) / (with_updates[1]["updates"] - 1)
        line = f"update, curves only, {ranks} ranks: {extra:.3f} s more per update"
        if bandwidth is not None:
            once = without[1]["g2_bytes"] / (bandwidth[1]["bytes"] / bandwidth[0])
            line += f", {extra / once:.1f} x reading G2 once at the memory bandwidth"
        yield line


def between_updates(results):
    """Return lines on the events per second of jobs once their buffer is filled."""
    for b in results["benchmarks"]:
        if "between_updates" in b["extra_info"]:
            name, rate = b["name"].removeprefix("test_"), b["extra_info"]["between_updates"]
            yield f"{name}: {rate:,.0f} events/s between updates, once the buffer is filled"


def sources(results):
    """Return a table of what was read beside plain loops, a pair of both at a time."""
    found = [b for b in results["benchmarks"] if "beside_plain" in b["extra_info"]]
    if not found:
        return
    yield "\n| read | servers GB/s | plain loops GB/s | ratio, median of pairs | quartiles |"
    yield "| --- |" + " ---: |" * 4
    for b in found:
        facts, gigabytes = b["extra_info"], b["extra_info"]["bytes"] / 1e9
        low, high = facts["quartiles"]
        row = [b["name"].removeprefix("test_"), f"{gigabytes / b['stats']['median']:.2f}"]
        row += [f"{gigabytes / facts['plain_seconds']:.2f}", f"{facts['beside_plain']:.2f}", f"{low:.2f} - {high:.2f}"]
        yield "| " + " | ".join(row) + " |"


def photons(results):
    """Return lines on the frames per second of a server that counts photons."""
    for b in results["benchmarks"]:
        facts = b["extra_info"]
        if "beside_copy" in facts:
            rate, (low, high) = facts["frames_per_second"], facts["quartiles"]
            yield (
                f"{b['name'].removeprefix('test_')}: {rate:,.0f} frames/s, {facts['beside_copy']:.2f} x copying them "
                f"(quartiles {low:.2f} - {high:.2f})"
            )


def several(results):
    """Return lines on several calculations in one job, beside the jobs of each alone; on two-time beside BLAS."""
    for b in results["benchmarks"]:
        facts = b["extra_info"]
        name = b["name"].removeprefix("test_")
        if "beside_alone" in facts:
            yield (
                f"{name}: {facts['together']:.2f} s together, {facts['beside_alone']:.2f} x the sum of each alone; "
                f"{facts['processor']:.2f} s of the processor, {facts['processor_beside_alone']:.2f} x"
            )
        elif "processor" in facts:
            yield f"{name}: {facts['processor']:.2f} s of the processor, all ranks and their start"
        if "beside_ssyrk" in facts:
            yield f"{name}: {facts['beside_ssyrk']:.2f} x as fast"


def errors(results):
    """Return lines on jobs with errors from blocks of time or groups of pixels, beside those of pixels alone."""
    for b in results["benchmarks"]:
        facts, name = b["extra_info"], b["name"].removeprefix("test_")
        if "beside_pixels" in facts:
            ratio, processor, (low, high) = (
                facts[key] for key in ("beside_pixels", "processor_beside_pixels", "quartiles")
            )
            yield (
                f"{name}: {processor:.3f} x the processor's seconds of a job with errors 'pixels' (quartiles {low:.3f} "
                f"- {high:.3f}), {ratio:.3f} x from start to end"
            )


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
    print(
        "".join(
            f"\n{line}"
            for line in (
                *update_cost(results),
                *between_updates(results),
                *sources(results),
                *photons(results),
                *several(results),
                *errors(results),
            )
        )
    )


if __name__ == "__main__":
    main()
