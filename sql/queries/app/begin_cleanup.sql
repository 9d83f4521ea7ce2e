-- Waits for all transactions that have locked the generation, so that their orphans are visible.
UPDATE public.orphan_cleanup SET generation = generation + 1
