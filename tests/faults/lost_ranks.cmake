# Tests that lose ranks or hosts under rankpool-launch, which also says by its status that rank 0 was content.
set(exchange $<TARGET_FILE:rank_exchange>)
set(map $<TARGET_FILE:map_over_losses>)

rankpool_add_test(faults.launch alone LABEL faults TIMEOUT 120 PROCESSORS 2 EXPECT "^rankpool-launch does as it should$"
                  COMMAND ${CMAKE_CURRENT_LIST_DIR}/launch_check $<TARGET_FILE:rankpool-launch> ${exchange})

# One host: 4 x 6 ranks, each killed in the middle of what it sends. Frames small; frames by reference; by copy.
foreach(round 1 2 3 4)
  rankpool_add_test(faults.rank_loss.${round} 8 RECOVERY LABEL faults TIMEOUT 60 PROCESSORS 2 COMMAND ${exchange} kills=6
                    EXPECT "^rank 2 is down after" "^all that are left answer" "^finished without the lost$")
endforeach()
rankpool_add_test(faults.rank_loss.segments 5 RECOVERY LABEL faults TIMEOUT 60 PROCESSORS 2
                  COMMAND ${exchange} kills=3 bytes=300000 EXPECT "^finished without the lost$")
rankpool_add_test(faults.rank_loss.copies 5 RECOVERY LABEL faults TIMEOUT 60 PROCESSORS 2 ENV RANKPOOL_SEGMENTS=copy
                  COMMAND ${exchange} kills=3 bytes=300000 EXPECT "^finished without the lost$")

# Three hosts: ranks 1 and 4 are on h2, 2 and 5 on h3; 3 x 7 killed ranks.
function(add_loss_test name ranks)
  rankpool_add_test(cluster.loss.${name} ${ranks} HOSTS 3 RECOVERY LABEL cluster TIMEOUT 90 PROCESSORS 4 ${ARGN})
endfunction()
foreach(round 1 2 3)
  add_loss_test(kill.${round} 9 COMMAND ${exchange} kills=7 EXPECT "^rank 2 is down after" "^finished without the lost$")
endforeach()
foreach(round 1 2 3)
  add_loss_test(reset.${round} 6 COMMAND ${exchange} do=reset:h3 losses=2
                EXPECT "^rank 2 is down after" "^rank 5 is down after" "^finished without the lost$")
endforeach()
foreach(round 1 2)
  add_loss_test(crash.${round} 3 COMMAND ${exchange} do=crash:h3 losses=1 ENV RANKPOOL_HEARTBEAT=2
                EXPECT "^rank 2 is silent after" "^finished without the lost$")
endforeach()
add_loss_test(healed 3 COMMAND ${exchange} do=cut:h3 undo=2000:heal:h3 ms=4000 ENV RANKPOOL_HEARTBEAT=20
              EXPECT "^rank 2 was silent for more than a second$" "^finished together$")
# What comes back after its time does not act again, but ends: after a cut, and after it was stopped.
add_loss_test(healed_late 3 COMMAND ${exchange} do=cut:h3 undo=6000:heal:h3 losses=1 dead=2 ms=7000
              ENV RANKPOOL_HEARTBEAT=2 EXPECT "^rank 2 is silent after" "^finished without the lost$")
add_loss_test(stopped 3 COMMAND ${exchange} do=stop:2 undo=5000:continue:2 losses=1 dead=2 ENV RANKPOOL_HEARTBEAT=2
              EXPECT "^rank 2 is silent after" "^finished without the lost$")
rankpool_add_test(cluster.loss.rank_0 3 HOSTS 3 RECOVERY LABEL cluster TIMEOUT 60 PROCESSORS 4 STATUS 137
                  COMMAND ${exchange} do=kill:0 losses=1)

# A map while a host loses its ranks, is reset, vanishes, or is cut off for too long.
foreach(round 1 2)
  add_loss_test(map_kill.${round} 3 COMMAND ${map} kill:h3 EXPECT "^all results are right$")
  add_loss_test(map_reset.${round} 6 COMMAND ${map} reset:h3 EXPECT "^all results are right$")
endforeach()
add_loss_test(map_crash 3 COMMAND ${map} crash:h3 4000 ENV RANKPOOL_HEARTBEAT=2 EXPECT "^all results are right$")
add_loss_test(map_cut 3 COMMAND ${map} cut:h3 4000 ENV RANKPOOL_HEARTBEAT=2 EXPECT "^all results are right$")
