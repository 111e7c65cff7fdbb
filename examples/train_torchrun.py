#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A training program that is not ours: plain PyTorch, data parallel, and the task contract (docs/task-contract.md) in a few lines.

A small GRU learns to write the bytes of a text. What makes it a good citizen of a centre is marked with CONTRACT."""
import argparse
import json
import os
import signal
import sys
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class ByteModel(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.embed = nn.Embedding(256, width)
        self.gru = nn.GRU(width, width, num_layers=2, batch_first=True)
        self.head = nn.Linear(width, 256)

    def forward(self, ids):
        return self.head(self.gru(self.embed(ids))[0])


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16, help="sequences a step, over all workers")
    parser.add_argument("--seq", type=int, default=128)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--checkpoint-every", type=int, default=50)
    # CONTRACT: the centre gives a folder that is the same for every attempt.
    parser.add_argument("--checkpoints", default=os.environ.get("CENTRALE_CHECKPOINT_DIR", "checkpoints"))
    return parser.parse_args()


def save(path, model, optimizer, step):
    """CONTRACT: killed at any instant, so the file appears whole or not at all."""
    partial = path + ".partial"
    with open(partial, "wb") as file:
        torch.save({"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def main():
    options = arguments()
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))  # CONTRACT: remember it, save at the end of the step
    cuda = torch.cuda.is_available()
    dist.init_process_group("nccl" if cuda else "gloo")  # reads RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT
    rank, workers = dist.get_rank(), dist.get_world_size()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count()) if cuda else torch.device("cpu")
    if options.batch % workers:
        print(f"--batch {options.batch} cannot be shared out among {workers} workers", file=sys.stderr)
        sys.exit(64)  # CONTRACT: a retry cannot help
    try:
        with open(options.data, "rb") as file:
            text = torch.tensor(list(file.read()), dtype=torch.long)
    except OSError as error:
        print(f"{options.data}: {error.strerror}", file=sys.stderr)
        sys.exit(65)

    torch.manual_seed(1)
    model = ByteModel(options.width).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr)
    os.makedirs(options.checkpoints, exist_ok=True)
    path = os.path.join(options.checkpoints, "last.pt")
    step = 0
    if os.path.exists(path):  # CONTRACT: the same command goes on from the last checkpoint
        state = torch.load(path, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    parallel = DistributedDataParallel(model)

    def report(**fields):  # CONTRACT: progress on stdout, rank 0 alone
        if rank == 0:
            print("@centrale " + json.dumps(fields), flush=True)

    began, first = time.monotonic(), step
    while step < options.steps:
        # The data of a step depends on the step alone: the same after a resume, and on another number of workers.
        starts = torch.randint(len(text) - options.seq - 1, (options.batch,), generator=torch.Generator().manual_seed(step))
        mine = starts[rank::workers]
        rows = torch.stack([text[s:s + options.seq + 1] for s in mine]).to(device)
        loss = nn.functional.cross_entropy(parallel(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        sums = torch.stack([loss.detach() / workers, torch.tensor(float(bool(stop)), device=device)])
        dist.all_reduce(sums)  # the mean loss, and whether any rank was asked to stop: all leave at the same step
        tokens = options.batch * options.seq
        pace = (step - first) * tokens / (time.monotonic() - began)
        report(step=step, steps=options.steps, loss=sums[0].item(), tokens=step * tokens, tokens_per_s=round(pace),
               eta_s=round((options.steps - step) * tokens / pace))
        asked = sums[1].item() > 0
        if rank == 0 and (asked or step == options.steps or step % options.checkpoint_every == 0):
            save(path, model, optimizer, step)
            report(checkpoint="last.pt", step=step)
        if asked and step < options.steps:
            dist.barrier()  # nobody leaves before the checkpoint is on the disk
            sys.exit(75)  # CONTRACT: saved, not finished
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
