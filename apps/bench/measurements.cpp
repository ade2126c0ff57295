#include "measurements.hpp"

namespace bench {

std::span<const Measurement> measurements() {
  static const std::vector<Measurement> all{
      {{"floor_tasks_per_s", "floor_rtt_us"}, measure_floor},
      {{"startup_ms"}, measure_startup},
      {{"tasks_per_s_chunk1"}, measure_task_rate},
      {{"apply_us_p50", "apply_us_p99"}, measure_apply},
      {{"metg50_us"}, measure_grain},
      {{"metg50_cpu_us"}, measure_cpu_grain},
      {{"bulk_GBps"}, measure_bulk},
      {{"items_per_s_auto"}, measure_item_rate},
      {{"submits_per_s"}, measure_submit},
      {{"imap_items_per_s"}, measure_stream},
      {{"reduce_items_per_s"}, measure_reduction},
      {{"skew_ratio"}, measure_skew},
      {{"skew_cpu_ratio"}, measure_cpu_skew},
      {{"queue_items_per_s"}, measure_queue_rate},
      {{"queue_us_p50"}, measure_queue_latency},
      {{"pipe_rtt_us_p50"}, measure_pipe},
      {{"lock_pair_ns"}, measure_lock},
      {{"lock_contended_pairs_per_s"}, measure_contended_lock},
      {{"value_add_ns"}, measure_value},
      {{"idle_cpu_percent"}, measure_idle},
  };
  return all;
}

}  // namespace bench
